//! An instance of the master problem , and which of its columns may still be part of
//! a solution.

/// One column, as the master sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Layers of the stage.
    pub layers: u64,
    /// Contribution to each row.
    pub values: Vec<u64>,
}

/// An instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Master {
    /// Columns of each stage.
    pub stages: Vec<Vec<Entry>>,
    /// Constant of each row.
    pub constants: Vec<u64>,
    /// Layers to place (L).
    pub layers: u64,
}

/// No selection gets there: above any sum of durations.
pub(crate) const UNREACHABLE: u64 = u64::MAX / 4;

/// Columns that may still be part of a selection below the cutoff, by stage, in ascending order.
pub type Alive = Vec<Vec<usize>>;

/// How many layers stages may place together: for every q those of stages q.. (or ..q), and no
/// others, belong to a selection that places all layers.
pub(crate) struct Reach {
    /// Fewest and most layers by q, and where they stand in a table.
    pub(crate) spans: Vec<(u64, u64, usize)>,
    /// Length of a table.
    pub(crate) len: usize,
}

/// The reach of the columns that are alive.
pub(crate) struct Reaches {
    /// Fewest and most layers of each stage.
    pub(crate) stages: Vec<(u64, u64)>,
    /// Of stages ..q.
    pub(crate) prefix: Reach,
    /// Of stages q...
    pub(crate) suffix: Reach,
}

impl Reach {
    pub(crate) fn new(spans: impl Iterator<Item = (u64, u64)>) -> Reach {
        let mut len = 0;
        let place = |(low, high): (u64, u64)| {
            let start = len;
            len += (high + 1).saturating_sub(low) as usize;
            (low, high, start)
        };
        let spans = spans.map(place).collect();
        Reach { spans, len }
    }

    /// Where the entry of `layers` layers stands in a table, if it is within reach.
    pub(crate) fn index(&self, q: usize, layers: u64) -> Option<usize> {
        let (low, high, start) = self.spans[q];
        (low..=high).contains(&layers).then(|| start + (layers - low) as usize)
    }
}

impl Master {
    /// All columns.
    pub fn all(&self) -> Alive {
        self.stages.iter().map(|stage| (0..stage.len()).collect()).collect()
    }

    /// Adds a row; `value` is what column k of stage q contributes to it.
    pub fn add_row(&mut self, constant: u64, value: impl Fn(usize, usize) -> u64) {
        self.constants.push(constant);
        for (q, stage) in self.stages.iter_mut().enumerate() {
            for (k, entry) in stage.iter_mut().enumerate() {
                entry.values.push(value(q, k));
            }
        }
    }

    /// Row `r` of a selection.
    pub(crate) fn row(&self, r: usize, chosen: &[usize]) -> u64 {
        let parts = chosen.iter().zip(&self.stages);
        self.constants[r] + parts.map(|(k, stage)| stage[*k].values[r]).sum::<u64>()
    }

    /// The largest row of a selection.
    pub fn value(&self, chosen: &[usize]) -> u64 {
        (0..self.constants.len()).map(|r| self.row(r, chosen)).max().unwrap_or(0)
    }
}
