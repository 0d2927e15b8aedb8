//! Colours, or none of them. Only the sixteen colours that every terminal's theme defines: they stay readable on
//! light and dark grounds.

/// Paints words, where colours are wanted.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Style {
    colors: bool,
}

impl Style {
    /// Paints only with `colors`.
    pub(crate) fn new(colors: bool) -> Self {
        Self { colors }
    }

    /// Whether it paints at all.
    pub(crate) fn has_colors(self) -> bool {
        self.colors
    }

    fn paint(self, code: &str, text: &str) -> String {
        if self.colors { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
    }

    /// As it is.
    pub(crate) fn plain(self, text: &str) -> String {
        text.to_owned()
    }

    /// Names of things, headings.
    pub(crate) fn bold(self, text: &str) -> String {
        self.paint("1", text)
    }

    /// Output of others and side remarks.
    pub(crate) fn dim(self, text: &str) -> String {
        self.paint("2", text)
    }

    /// Failures.
    pub(crate) fn red(self, text: &str) -> String {
        self.paint("1;31", text)
    }

    /// Things that are as they should be.
    pub(crate) fn green(self, text: &str) -> String {
        self.paint("32", text)
    }

    /// Things that a person should look at.
    pub(crate) fn yellow(self, text: &str) -> String {
        self.paint("33", text)
    }

    /// Commands to type, addresses.
    pub(crate) fn cyan(self, text: &str) -> String {
        self.paint("36", text)
    }

    /// One of six colours by number, to tell instances apart in a stream of log lines.
    pub(crate) fn nth(self, number: u64, text: &str) -> String {
        const CODES: [&str; 6] = ["36", "33", "32", "35", "34", "31"];
        let index = usize::try_from(number).unwrap_or_default() % CODES.len();
        self.paint(CODES[index], text)
    }
}
