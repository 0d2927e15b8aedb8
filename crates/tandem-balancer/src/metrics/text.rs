//! The two forms of one format: the text format of Prometheus (0.0.4) and OpenMetrics 1.0, which differ in a few lines.
//!
//! <https://prometheus.io/docs/instrumenting/exposition_formats/>,
//! <https://prometheus.io/docs/specs/om/open_metrics_spec/>

use std::fmt::{Display, Write as _};

/// A form of the page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    /// What everybody reads.
    Text,
    /// For who asks for it.
    OpenMetrics,
}

/// What a family of figures is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Only rises, until the process ends. Its name ends with `_total`.
    Counter,
    /// Rises and falls.
    Gauge,
    /// Numbers up to some bounds.
    Histogram,
    /// Says something by its labels. Its name ends with `_info`.
    Info,
}

/// A label with its value.
pub(super) type Label<'a> = (&'a str, &'a str);

/// A page that is written.
#[derive(Debug)]
pub(super) struct Page {
    text: String,
    format: Format,
}

impl Format {
    /// What is sent to one that takes this: OpenMetrics where it is liked no less than plain text.
    pub(super) fn of_accept(accept: &str) -> Self {
        let weight = |name: &str| -> Option<f32> {
            accept.split(',').filter_map(|range| weight_of(range, name)).max_by(f32::total_cmp)
        };
        match weight("application/openmetrics-text") {
            Some(weighed) if weighed > 0.0 && weight("text/plain").is_none_or(|text| text <= weighed) => {
                Self::OpenMetrics
            }
            _ => Self::Text,
        }
    }

    /// As it is called in HTTP.
    pub(super) fn content_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// How much a range of `Accept` is liked, where it is of this name.
fn weight_of(range: &str, name: &str) -> Option<f32> {
    let mut parts = range.split(';').map(str::trim);
    if !parts.next()?.eq_ignore_ascii_case(name) {
        return None;
    }
    let weight = parts.find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")));
    Some(weight.map_or(1.0, |weight| weight.trim().parse().unwrap_or(0.0)))
}

impl Kind {
    fn name(self, format: Format) -> &'static str {
        match (self, format) {
            (Self::Counter, _) => "counter",
            (Self::Histogram, _) => "histogram",
            (Self::Info, Format::OpenMetrics) => "info",
            (Self::Gauge | Self::Info, _) => "gauge",
        }
    }

    /// What OpenMetrics counts to the sample and not to the family.
    fn suffix(self) -> &'static str {
        match self {
            Self::Counter => "_total",
            Self::Info => "_info",
            Self::Gauge | Self::Histogram => "",
        }
    }
}

impl Page {
    /// An empty page.
    pub(super) fn new(format: Format) -> Self {
        Self { text: String::new(), format }
    }

    /// Begins a family: all of its samples follow. `name` is whole, as samples have it; `help` is a line without a backslash.
    pub(super) fn family(&mut self, name: &str, kind: Kind, help: &str) {
        let family = match self.format {
            Format::OpenMetrics => name.strip_suffix(kind.suffix()).unwrap_or(name),
            Format::Text => name,
        };
        self.line(format_args!("# HELP {family} {help}"));
        self.line(format_args!("# TYPE {family} {}", kind.name(self.format)));
        let unit = ["seconds", "bytes"].into_iter().find(|unit| family.ends_with(unit));
        if let (Some(unit), Format::OpenMetrics) = (unit, self.format) {
            self.line(format_args!("# UNIT {family} {unit}"));
        }
    }

    /// A sample of the family that began last.
    pub(super) fn sample(&mut self, name: &str, labels: &[Label<'_>], value: impl Display) {
        self.text.push_str(name);
        for (place, (label, value)) in labels.iter().enumerate() {
            self.text.push(if place == 0 { '{' } else { ',' });
            self.text.push_str(label);
            self.text.push_str("=\"");
            push_escaped(&mut self.text, value);
            self.text.push('"');
        }
        if !labels.is_empty() {
            self.text.push('}');
        }
        self.line(format_args!(" {value}"));
    }

    /// The page, with its end.
    pub(super) fn finish(mut self) -> String {
        if self.format == Format::OpenMetrics {
            self.line(format_args!("# EOF"));
        }
        self.text
    }

    fn line(&mut self, text: std::fmt::Arguments<'_>) {
        writeln!(self.text, "{text}").expect("a string takes everything");
    }
}

/// The same rules in both forms.
fn push_escaped(text: &mut String, value: &str) {
    for letter in value.chars() {
        match letter {
            '\\' => text.push_str("\\\\"),
            '"' => text.push_str("\\\""),
            '\n' => text.push_str("\\n"),
            other => text.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(format: Format) -> String {
        let mut page = Page::new(format);
        page.family("a_total", Kind::Counter, "How many.");
        page.sample("a_total", &[("path", "C:\\\"x\"\nü"), ("empty", "")], 3);
        page.family("b_seconds", Kind::Gauge, "How long.");
        page.sample("b_seconds", &[], 0.5);
        page.family("c_info", Kind::Info, "What.");
        page.sample("c_info", &[("version", "1")], 1);
        page.finish()
    }

    #[test]
    fn both_forms_are_as_their_standards_say() {
        let samples = [
            "a_total{path=\"C:\\\\\\\"x\\\"\\nü\",empty=\"\"} 3",
            "b_seconds 0.5",
            "c_info{version=\"1\"} 1",
        ];
        let [a, b, c] = samples;
        let text = format!(
            "# HELP a_total How many.\n# TYPE a_total counter\n{a}\n\
             # HELP b_seconds How long.\n# TYPE b_seconds gauge\n{b}\n\
             # HELP c_info What.\n# TYPE c_info gauge\n{c}\n"
        );
        assert_eq!(page(Format::Text), text);
        let open = format!(
            "# HELP a How many.\n# TYPE a counter\n{a}\n\
             # HELP b_seconds How long.\n# TYPE b_seconds gauge\n# UNIT b_seconds seconds\n{b}\n\
             # HELP c What.\n# TYPE c info\n{c}\n# EOF\n"
        );
        assert_eq!(page(Format::OpenMetrics), open);
    }

    #[test]
    fn who_asks_for_a_form_gets_it() {
        let prometheus = "application/openmetrics-text;version=1.0.0;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
        for (accept, format) in [
            ("", Format::Text),
            ("*/*", Format::Text),
            ("text/plain", Format::Text),
            ("Application/OpenMetrics-Text", Format::OpenMetrics),
            ("application/openmetrics-text; version=1.0.0, text/plain", Format::OpenMetrics),
            ("application/openmetrics-text;q=0", Format::Text),
            ("application/openmetrics-text;q=nonsense", Format::Text),
            ("text/plain;q=0.9, application/openmetrics-text;q=0.1", Format::Text),
            (prometheus, Format::OpenMetrics),
        ] {
            assert_eq!(Format::of_accept(accept), format, "{accept}");
        }
    }
}
