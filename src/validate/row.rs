//! A measured run, as its table gives it. Empty cells are `None`.

use super::cells::{Cells, TableError};

/// One measured run.
#[derive(Debug, Clone, PartialEq, Default)]
#[allow(missing_docs, reason = "the names are those of the table's columns")]
pub struct MeasuredRun {
    pub id: String,
    pub source: String,
    pub confidence: String,
    pub hardware: String,
    pub gpu_mem_gb: Option<f64>,
    pub gpus: Option<u64>,
    pub gpus_per_node: Option<u64>,
    pub interconnect: String,
    pub model: String,
    pub arch: String,
    pub layers: Option<u64>,
    pub hidden: Option<u64>,
    pub heads: Option<u64>,
    pub kv_heads: Option<u64>,
    pub ffn: Option<u64>,
    pub vocab: Option<u64>,
    pub seq_len: Option<u64>,
    pub tp: Option<u64>,
    pub pp: Option<u64>,
    pub dp: Option<u64>,
    pub cp: Option<u64>,
    pub ep: Option<u64>,
    pub vpp: Option<u64>,
    pub zero_stage: String,
    pub seq_parallel: String,
    pub recompute: String,
    pub microbatch: Option<u64>,
    pub global_batch: Option<u64>,
    pub grad_accum: Option<u64>,
    pub precision: String,
    pub flash_attention: String,
    pub framework: String,
    pub schedule: String,
    pub iter_time_s: Option<f64>,
    pub samples_per_s: Option<f64>,
    pub tokens_per_s_per_gpu: Option<f64>,
    pub peak_mem_gib: Option<f64>,
    pub mem_kind: String,
    pub derived: Vec<String>,
    pub notes: String,
}

impl MeasuredRun {
    /// Reads a line of a table.
    ///
    /// # Errors
    /// A cell that is not what its column says.
    pub fn read(cells: &Cells<'_>) -> Result<MeasuredRun, TableError> {
        let text = |column: &str| cells.text(column).to_owned();
        let count = |column: &str| cells.count(column);
        Ok(MeasuredRun {
            id: text("id"),
            source: text("source"),
            confidence: text("confidence"),
            hardware: text("hardware"),
            gpu_mem_gb: cells.number("gpu_mem_gb")?,
            gpus: count("gpus")?,
            gpus_per_node: count("gpus_per_node")?,
            interconnect: text("interconnect"),
            model: text("model"),
            arch: text("arch"),
            layers: count("layers")?,
            hidden: count("hidden")?,
            heads: count("heads")?,
            kv_heads: count("kv_heads")?,
            ffn: count("ffn")?,
            vocab: count("vocab")?,
            seq_len: count("seq_len")?,
            tp: count("tp")?,
            pp: count("pp")?,
            dp: count("dp")?,
            cp: count("cp")?,
            ep: count("ep")?,
            vpp: count("vpp")?,
            zero_stage: text("zero_stage"),
            seq_parallel: text("seq_parallel"),
            recompute: text("recompute"),
            microbatch: count("microbatch")?,
            global_batch: count("global_batch")?,
            grad_accum: count("grad_accum")?,
            precision: text("precision"),
            flash_attention: text("flash_attention"),
            framework: text("framework"),
            schedule: text("schedule"),
            iter_time_s: cells.number("iter_time_s")?,
            samples_per_s: cells.number("samples_per_s")?,
            tokens_per_s_per_gpu: cells.number("tokens_per_s_per_gpu")?,
            peak_mem_gib: cells.number("peak_mem_gib")?,
            mem_kind: text("mem_kind"),
            derived: cells.text("derived").split(';').map(|name| name.trim().to_owned()).collect(),
            notes: text("notes"),
        })
    }

    /// Whether a cell was computed from others of the row.
    pub fn is_derived(&self, column: &str) -> bool {
        self.derived.iter().any(|name| name == column)
    }

    /// Whether framework, notes or source mention a word, in any case.
    pub fn mentions(&self, word: &str) -> bool {
        let word = word.to_lowercase();
        [&self.framework, &self.notes].iter().any(|text| text.to_lowercase().contains(&word))
    }
}
