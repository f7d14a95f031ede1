//! What a program can not express of a plan.

/// Something that the program can not express, and what it does instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotExpressed {
    /// The field of the plan, or of the model after `model.`.
    pub field: &'static str,
    /// What is lost, and what happens instead.
    pub said: String,
}

/// Collects what can not be expressed.
#[derive(Debug, Default)]
pub(super) struct Losses(pub(super) Vec<NotExpressed>);

impl Losses {
    /// Adds that `field` is not expressed, with what is lost and what happens instead.
    pub(super) fn say(&mut self, field: &'static str, said: impl Into<String>) {
        self.0.push(NotExpressed { field, said: said.into() });
    }
}
