//! The questions of a review with their answers, as a table.

use super::facts::{days, money, place};
use crate::capacity::{BestCell, Review};
use crate::report::number;
use crate::report::table::{Table, heads};

/// One row for each question that was asked.
pub(super) fn table(review: &Review) -> Table {
    let deadline = review.limits.deadline.map(|deadline| number::days(deadline.get() / 86_400.0));
    let budget = review.limits.budget.map(|budget| number::dollars(budget.get()));
    let within = |limit: &Option<String>| {
        limit.as_ref().map_or(String::new(), |limit| format!(" within {limit}"))
    };
    let answers = &review.answers;
    let mut rows = Vec::new();
    if let Some(fewest) = answers.fewest {
        rows.push(row(review, format!("Fewest devices{}", within(&deadline)), fewest));
    }
    let cheapest = if review.cells().any(|(_, cell)| cell.cost_usd.is_some()) {
        "Cheapest"
    } else {
        "Fewest device-hours"
    };
    rows.push(row(review, format!("{cheapest}{}", within(&deadline)), answers.cheapest));
    rows.push(row(review, format!("Fastest{}", within(&budget)), answers.fastest));
    Table {
        heads: heads(&["question", "answer", "length of the run", "cost", "at the upper end"], &[]),
        rows,
    }
}

fn row(review: &Review, question: String, answer: BestCell) -> Vec<String> {
    let Some((at, cell)) = answer.expected.and_then(|at| Some((at, review.cell(at)?))) else {
        let none = "none of this review".to_owned();
        return vec![question, none, String::new(), String::new(), String::new()];
    };
    let sure = match answer.sure {
        Some(sure) if sure == at => "the same".to_owned(),
        Some(sure) => place(review, sure),
        None => "none".to_owned(),
    };
    vec![question, place(review, at), days(cell), money(cell), sure]
}
