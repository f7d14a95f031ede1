//! The result for a terminal: plain lines that fit its width and need no colour.

use super::input::{Origin, ReportInput};
use super::table;
use super::{certificate, compare, number, reason, summary};
use crate::sim::StagePrediction;
use std::fmt::Write;

/// How text is laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TextOptions {
    /// Columns of the terminal; between 60 and 100 are used.
    pub width: usize,
    /// Whether bold and colour are set by ANSI escapes.
    pub style: bool,
}

/// Stages beyond this many are not listed one by one.
const LISTED_STAGES: usize = 8;

/// The plan, its prediction, the runner-up, the certificate and the assumptions.
pub fn text(input: &ReportInput<'_>, options: TextOptions) -> String {
    let mut page = Page {
        out: String::with_capacity(4096),
        width: options.width.clamp(60, 100),
        style: options.style,
    };
    let outcome = input.outcome;
    let plan = &outcome.plan;
    page.strong(&format!("{} on {}", input.model.name, input.cluster.name));
    page.wrapped(
        "  ",
        &format!(
            "{} devices, global batch {}, {}; {}",
            number::count(plan.devices()),
            number::count(plan.batch.global),
            plan.stack,
            certificate::word(input)
        ),
    );
    page.strong("Plan");
    page.wrapped("  ", &summary::plan_line(plan));
    page.strong("Prediction");
    for fact in table::facts(input) {
        page.wrapped_after("  ", &format!("{:<16}", fact.name), &fact.value, &fact.note);
    }
    page.wrapped("  ", &format!("Interval: {}", input.interval_source.trim()));
    page.strong("Where the iteration goes");
    page.breakdown(input);
    page.strong("Stages");
    page.stages(input);
    page.strong("Why this plan");
    page.sentences(&reason::reasons(input)[1..]);
    if input.origin == Origin::Searched && !outcome.alternatives.is_empty() {
        page.strong("Runner-up");
        page.sentences(&compare::runner_up(plan, &outcome.prediction, &outcome.alternatives));
    }
    page.strong("Certificate");
    page.sentences(&certificate::sentences(input));
    if !outcome.assumptions.is_empty() {
        page.strong("Assumptions");
        page.sentences(&outcome.assumptions);
    }
    page.out
}

/// A page under construction.
pub(super) struct Page {
    /// What is written so far.
    pub(super) out: String,
    /// Columns.
    pub(super) width: usize,
    /// Whether to set bold and colour.
    pub(super) style: bool,
}

impl Page {
    /// A heading, after a blank line unless it is the first.
    pub(super) fn strong(&mut self, title: &str) {
        if !self.out.is_empty() {
            self.out.push('\n');
        }
        for line in wrap(title, self.width) {
            let (on, off) = if self.style { ("\u{1b}[1m", "\u{1b}[0m") } else { ("", "") };
            let _ = writeln!(self.out, "{on}{line}{off}");
        }
    }

    /// A paragraph.
    pub(super) fn wrapped(&mut self, indent: &str, content: &str) {
        for line in wrap(content, self.width - indent.len()) {
            let _ = writeln!(self.out, "{indent}{line}");
        }
    }

    /// The columns of `table` that `shown` lists, as wide as they need to be. Where they need more
    /// than `room`, those of `dispensable` are left out, the first first, and the page says so.
    pub(super) fn table(
        &mut self,
        table: &super::table::Table,
        shown: &[usize],
        dispensable: &[usize],
        room: Option<usize>,
    ) {
        let widest = |column: usize| {
            let cells = table.rows.iter().filter_map(|row| row.get(column));
            let widths = cells.map(|text| text.chars().count());
            widths.chain([table.heads[column].name.len()]).max().unwrap_or(0)
        };
        let mut columns: Vec<(usize, usize)> =
            shown.iter().map(|column| (*column, widest(*column))).collect();
        let mut left_out = Vec::new();
        for column in dispensable {
            let needed: usize = columns.iter().map(|(_, width)| width + 2).sum();
            if room.is_none_or(|room| needed <= room) {
                break;
            }
            columns.retain(|(kept, _)| kept != column);
            left_out.push(table.heads[*column].name);
        }
        let mut line = |texts: &dyn Fn(usize) -> String| {
            let mut text = String::from(" ");
            for (column, width) in &columns {
                let cell = texts(*column);
                let pad = " ".repeat(width.saturating_sub(cell.chars().count()));
                let number = table.heads[*column].number;
                let (before, after) = if number { (pad.as_str(), "") } else { ("", pad.as_str()) };
                text.push_str(&format!(" {before}{cell}{after} "));
            }
            let _ = writeln!(self.out, "{}", text.trim_end());
        };
        line(&|column| table.heads[column].name.to_owned());
        for row in &table.rows {
            line(&|column| row.get(column).cloned().unwrap_or_default());
        }
        if !left_out.is_empty() {
            let note = format!(
                "Too wide for {} columns, left out: {}. A wider terminal, a pipe (`| less -S`) and \
                 `--format csv` show them.",
                room.unwrap_or(self.width),
                left_out.join(", ")
            );
            self.wrapped("  ", &note);
        }
    }

    /// A list.
    pub(super) fn sentences(&mut self, sentences: &[String]) {
        for sentence in sentences {
            for (index, line) in wrap(sentence, self.width - 4).iter().enumerate() {
                let _ = writeln!(self.out, "  {} {line}", if index == 0 { "-" } else { " " });
            }
        }
    }

    /// A name, its value and a note, which goes to the next lines where it has no room.
    pub(super) fn wrapped_after(&mut self, indent: &str, name: &str, value: &str, note: &str) {
        let (on, off) = if self.style { ("\u{1b}[36m", "\u{1b}[0m") } else { ("", "") };
        let taken = indent.len() + name.len() + value.len() + 2;
        if taken + note.len() <= self.width {
            let line = format!("{indent}{name}{on}{value}{off}  {note}");
            let _ = writeln!(self.out, "{}", line.trim_end());
            return;
        }
        let _ = writeln!(self.out, "{indent}{name}{on}{value}{off}");
        let deeper = " ".repeat(indent.len() + name.len());
        for line in wrap(note, self.width - deeper.len()) {
            let _ = writeln!(self.out, "{deeper}{line}");
        }
    }

    fn breakdown(&mut self, input: &ReportInput<'_>) {
        let total = input.prediction().iteration_time_s;
        let room = self.width.saturating_sub(44);
        for row in table::breakdown(input).rows {
            let [name, time, share] = row.as_slice() else { continue };
            let part = input.prediction().breakdown.parts();
            let value = part.iter().find(|(part, _)| part == name).map_or(0.0, |(_, time)| *time);
            let length = (value / total * room as f64).round().clamp(0.0, room as f64) as usize;
            let bar = "#".repeat(length);
            let line = format!("  {name:<20}{time:>9}{share:>9}  {bar}");
            let _ = writeln!(self.out, "{}", line.trim_end());
        }
    }

    fn stages(&mut self, input: &ReportInput<'_>) {
        let stages = &input.prediction().stages;
        let _ = writeln!(
            self.out,
            "  {:>5}  {:<12}{:>11}{:>11}{:>13}",
            "stage", "layers", "forward", "backward", "peak memory"
        );
        for index in listed(stages) {
            let stage = &stages[index];
            let _ = writeln!(
                self.out,
                "  {index:>5}  {:<12}{:>11}{:>11}{:>13}",
                clip(&stage.layers, 12),
                number::seconds(stage.forward_s),
                number::seconds(stage.backward_s),
                number::bytes(stage.peak_memory_bytes)
            );
        }
        if stages.len() > LISTED_STAGES {
            let note = format!(
                "Of {} stages, the first, the last, the slowest and the fullest.",
                stages.len()
            );
            self.wrapped("  ", &note);
        }
    }
}

/// All stages where they are few; otherwise the first, the last, the slowest and the fullest.
fn listed(stages: &[StagePrediction]) -> Vec<usize> {
    if stages.len() <= LISTED_STAGES {
        return (0..stages.len()).collect();
    }
    let time = |index: &usize| stages[*index].forward_s + stages[*index].backward_s;
    let slowest = (0..stages.len()).rev().max_by(|a, b| time(a).total_cmp(&time(b)));
    let fullest = (0..stages.len()).rev().max_by_key(|index| stages[*index].peak_memory_bytes);
    let mut list: Vec<usize> =
        [Some(0), slowest, fullest, stages.len().checked_sub(1)].into_iter().flatten().collect();
    list.sort_unstable();
    list.dedup();
    list
}

fn clip(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let mut clipped: String = text.chars().take(width.saturating_sub(3)).collect();
    clipped.push_str("..");
    clipped
}

/// Lines of at most `width` columns; a longer word is cut.
pub fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = String::new();
    let mut columns = 0;
    for word in text.split_whitespace() {
        let mut rest: Vec<char> = word.chars().filter(|c| !c.is_control()).collect();
        if columns > 0 && columns + 1 + rest.len() > width {
            lines.push(std::mem::take(&mut line));
            columns = 0;
        }
        while rest.len() > width {
            let tail = rest.split_off(width);
            lines.push(rest.into_iter().collect());
            rest = tail;
        }
        if columns > 0 {
            line.push(' ');
            columns += 1;
        }
        columns += rest.len();
        line.extend(rest);
    }
    if !line.is_empty() || lines.is_empty() {
        lines.push(line);
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::wrap;

    #[test]
    fn wraps_words_and_cuts_what_is_too_long() {
        assert_eq!(wrap("one two three", 7), ["one two", "three"]);
        assert_eq!(wrap("abcdefgh ij", 3), ["abc", "def", "gh", "ij"]);
        assert_eq!(wrap("", 10), [""]);
        assert_eq!(wrap("a\u{1b}[31mb", 10), ["a[31mb"]);
    }
}
