//! Tables of measured kernels and collectives.

use super::fit::{MeasuredCollective, MeasuredKernel};
use crate::graph::{Collective, GemmPass, Kernel};
use crate::units::{Bytes, Seconds};

/// Why a table of measured kernels can not be read.
#[derive(Debug, thiserror::Error)]
pub enum KernelTableError {
    /// It is no CSV, or lacks a column.
    #[error(transparent)]
    Csv(#[from] csv::Error),
    /// A cell is not what its column says.
    #[error("line {line}, column `{column}`: `{found}` is {wrong}")]
    Cell {
        /// Line, from 1.
        line: u64,
        /// Column.
        column: &'static str,
        /// What stands there.
        found: String,
        /// What it is in place of what it has to be.
        wrong: &'static str,
    },
    /// A column is not there.
    #[error("the table has no column `{0}`")]
    Column(&'static str),
}

/// One row of a table: its cells under the columns asked for.
struct Row<const N: usize> {
    line: u64,
    columns: [&'static str; N],
    cells: [String; N],
}

impl<const N: usize> Row<N> {
    fn text(&self, at: usize) -> &str {
        self.cells[at].trim()
    }

    fn number<T: std::str::FromStr>(&self, at: usize) -> Result<T, KernelTableError> {
        self.text(at).parse().map_err(|_| self.error(at, "no number"))
    }

    fn milliseconds(&self, at: usize) -> Result<Seconds, KernelTableError> {
        Ok(Seconds::new(self.number::<f64>(at)? * 1e-3))
    }

    fn error(&self, at: usize, wrong: &'static str) -> KernelTableError {
        let (line, column, found) = (self.line, self.columns[at], self.text(at).to_owned());
        KernelTableError::Cell { line, column, found, wrong }
    }
}

/// The rows of a table under the columns asked for.
fn rows<const N: usize>(
    text: &str,
    columns: [&'static str; N],
) -> Result<Vec<Row<N>>, KernelTableError> {
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let header = reader.headers()?.clone();
    let mut places = [0; N];
    for (place, column) in places.iter_mut().zip(columns) {
        let at = header.iter().position(|name| name.trim() == column);
        *place = at.ok_or(KernelTableError::Column(column))?;
    }
    let row = |record: csv::Result<csv::StringRecord>| {
        let record = record?;
        let line = record.position().map_or(1, csv::Position::line);
        let cells = places.map(|at| record.get(at).unwrap_or_default().to_owned());
        Ok(Row { line, columns, cells })
    };
    reader.records().map(row).collect()
}

/// Reads a table of matrix products in bfloat16: `gpu, m, n, k, latency_ms`.
///
/// # Errors
/// A table that lacks a column, or a cell that is no number.
pub fn read_products(text: &str) -> Result<Vec<MeasuredKernel>, KernelTableError> {
    let parse = |row: Row<5>| {
        Ok(MeasuredKernel {
            device: row.text(0).into(),
            kernel: Kernel::Gemm {
                batch: 1,
                m: row.number(1)?,
                n: row.number(2)?,
                k: row.number(3)?,
                operand_bytes: 2,
                result_bytes: 2,
                accumulate: false,
                pass: GemmPass::Forward,
            },
            beside: Bytes::ZERO,
            time: row.milliseconds(4)?,
        })
    };
    rows(text, ["gpu", "m", "n", "k", "latency_ms"])?.into_iter().map(parse).collect()
}

/// Reads a table of causal fused attention in bfloat16: `gpu, batch_size, sequence_length,
/// num_heads, num_kv_heads, head_dim, latency_ms`. The table times a serving engine, which also
/// copies keys and values into its paged cache.
///
/// # Errors
/// A table that lacks a column, or a cell that is no number.
pub fn read_attention(text: &str) -> Result<Vec<MeasuredKernel>, KernelTableError> {
    let columns = [
        "gpu",
        "batch_size",
        "sequence_length",
        "num_heads",
        "num_kv_heads",
        "head_dim",
        "latency_ms",
    ];
    let parse = |row: Row<7>| {
        let [batch, length, heads] = [row.number(1)?, row.number(2)?, row.number(3)?];
        let [kv_heads, head_dim]: [u64; 2] = [row.number(4)?, row.number(5)?];
        let cached = [2, batch, length, kv_heads, head_dim];
        let cached = cached.into_iter().fold(1u64, u64::saturating_mul);
        Ok(MeasuredKernel {
            device: row.text(0).into(),
            kernel: Kernel::FlashAttention {
                backward: false,
                batch,
                heads,
                kv_heads,
                query_length: length,
                key_length: length,
                head_dim,
                causal: true,
                element_bytes: 2,
            },
            // Read and written, two bytes an element.
            beside: Bytes::new(cached.saturating_mul(4)),
            time: row.milliseconds(6)?,
        })
    };
    rows(text, columns)?.into_iter().map(parse).collect()
}

/// Reads a table of collectives of 2-byte elements: `gpu, collective, num_gpus,
/// message_elements, latency_ms`.
///
/// # Errors
/// A table that lacks a column, a cell that is no number, a collective that is not known.
pub fn read_collectives(text: &str) -> Result<Vec<MeasuredCollective>, KernelTableError> {
    let parse = |row: Row<5>| {
        Ok(MeasuredCollective {
            device: row.text(0).into(),
            collective: match row.text(1) {
                "all_reduce" => Collective::AllReduce,
                "all_gather" => Collective::AllGather,
                "reduce_scatter" => Collective::ReduceScatter,
                "alltoall" => Collective::AllToAll,
                _ => return Err(row.error(1, "no collective that is known")),
            },
            ranks: row.number(2)?,
            bytes: Bytes::new(row.number::<u64>(3)?.saturating_mul(2)),
            time: row.milliseconds(4)?,
        })
    };
    let columns = ["gpu", "collective", "num_gpus", "message_elements", "latency_ms"];
    rows(text, columns)?.into_iter().map(parse).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_read_and_none_is_dropped() {
        let read = read_products("gpu,m,k,n,latency_ms\n\"a, b\",1,2,3,0.5\n").unwrap();
        assert_eq!(read[0].device, "a, b");
        assert_eq!(read[0].time, Seconds::new(0.0005));
        let said = |text| read_products(text).unwrap_err().to_string();
        let bad = said("gpu,m,n,k,latency_ms\nh100,1,x,3,0.5\n");
        assert_eq!(bad, "line 2, column `n`: `x` is no number");
        assert_eq!(said("gpu,m,n,latency_ms\n"), "the table has no column `k`");
        let unknown = "gpu,collective,num_gpus,message_elements,latency_ms\nh100,gossip,2,8,1\n";
        let said = read_collectives(unknown).unwrap_err().to_string();
        assert_eq!(said, "line 2, column `collective`: `gossip` is no collective that is known");
    }
}
