//! Arguments of a command line.

/// Arguments in order, each with its value if it takes one.
#[derive(Debug, Default)]
pub(super) struct Arguments(Vec<(&'static str, Option<String>)>);

impl Arguments {
    /// An argument with a value.
    pub(super) fn value(&mut self, name: &'static str, value: impl ToString) {
        self.0.push((name, Some(value.to_string())));
    }

    /// An argument without a value, where `on`.
    pub(super) fn switch(&mut self, name: &'static str, on: bool) {
        if on {
            self.0.push((name, None));
        }
    }

    /// A shell array of that name, one argument a line.
    pub(super) fn shell_array(&self, name: &str) -> String {
        let mut text = format!("{name}=(\n");
        for (argument, value) in &self.0 {
            match value {
                Some(value) => text.push_str(&format!("  {argument} {}\n", quoted(value))),
                None => text.push_str(&format!("  {argument}\n")),
            }
        }
        text.push_str(")\n");
        text
    }
}

/// A word for the shell, in quotes where it needs them.
pub(super) fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./:=,+@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}
