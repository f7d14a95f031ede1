//! What the report of a review shows.

use crate::capacity::Review;

/// Everything that the report of a review shows.
#[derive(Debug, Clone, Copy)]
pub struct CapacityInput<'a> {
    /// The review.
    pub review: &'a Review,
    /// Where the interval of the iteration time comes from, in a sentence.
    pub interval_source: &'a str,
    /// Names and texts of the inputs in full.
    pub inputs: &'a [(String, String)],
    /// The command line that gives this again.
    pub command: &'a str,
}
