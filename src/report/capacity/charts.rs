//! The charts of a review.

use crate::capacity::Review;
use crate::report::chart::{Chart, cost_time, goodput, review_scaling, tornado};

/// All charts that the review has data for, in the order of the page.
pub(super) fn charts(review: &Review) -> Vec<Chart> {
    [
        cost_time::chart(review),
        review_scaling::chart(review),
        tornado::chart(review),
        goodput::chart(review),
    ]
    .into_iter()
    .flatten()
    .collect()
}
