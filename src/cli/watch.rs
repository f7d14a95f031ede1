//! The clock, the progress bar and the limits of a search. The only clock of the program.

use super::interrupt;
use crate::planner::SearchStatus;
use crate::planner::search::Progress;
use crate::units::Seconds;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::time::{Duration, Instant};

/// Watches one search.
pub struct Watch {
    start: Instant,
    limit: Option<Duration>,
    bar: ProgressBar,
    quiet: bool,
}

/// How long a search goes on before a bar appears.
const PATIENCE: Duration = Duration::from_millis(500);

impl Watch {
    /// Starts the clock.
    pub fn new(limit: Option<Seconds>, quiet: bool) -> Watch {
        let bar = ProgressBar::with_draw_target(Some(1000), ProgressDrawTarget::hidden());
        if let Ok(style) =
            ProgressStyle::with_template("{bar:20} {percent}% of the bound closed, {msg}")
        {
            bar.set_style(style);
        }
        let limit = limit.map(|limit| Duration::from_secs_f64(limit.get().min(1e9)));
        Watch { start: Instant::now(), limit, bar, quiet }
    }

    /// Why the search should end now, if it should.
    pub fn stop(&self) -> Option<SearchStatus> {
        if interrupt::asked() {
            return Some(SearchStatus::Interrupted);
        }
        self.limit.filter(|limit| self.start.elapsed() >= *limit).map(|_| SearchStatus::Limit)
    }

    /// Shows how far it is, on standard error where that is a terminal.
    pub fn show(&self, progress: &Progress) {
        if self.quiet || self.start.elapsed() < PATIENCE {
            return;
        }
        if self.bar.is_hidden() {
            self.bar.set_draw_target(ProgressDrawTarget::stderr());
        }
        let best = match progress.best {
            Some(best) => format!("best {best}"),
            None => "no plan yet".to_owned(),
        };
        self.bar.set_message(format!("{} solved, {best}", progress.solved));
        self.bar.set_position((progress.closed * 1000.0) as u64);
    }

    /// Shows how many cells of a review are done, with an estimate of what is left.
    pub fn show_cells(&self, progress: &crate::capacity::Progress) {
        if self.quiet || self.start.elapsed() < PATIENCE {
            return;
        }
        if self.bar.is_hidden() {
            let template = "{bar:20} {msg}, {elapsed} gone, about {eta} left";
            if let Ok(style) = ProgressStyle::with_template(template) {
                self.bar.set_style(style);
            }
            self.bar.set_draw_target(ProgressDrawTarget::stderr());
        }
        self.bar.set_message(format!("{} of {} cells", progress.cells, progress.of));
        self.bar.set_position((progress.share * 1000.0) as u64);
    }

    /// Removes the bar; seconds since the start.
    pub fn finish(&self) -> f64 {
        self.bar.finish_and_clear();
        self.start.elapsed().as_secs_f64()
    }
}
