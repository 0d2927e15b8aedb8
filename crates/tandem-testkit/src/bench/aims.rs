//! What a deploy should cost, and whether it did. A miss is a result like any other: it is printed, not hidden.

use super::tables::table;

/// One aim and what was measured.
#[derive(Debug)]
pub struct Aim {
    what: String,
    aim: String,
    /// The value with its unit; none where this machine cannot tell.
    measured: Option<String>,
    hit: bool,
}

/// What a part of the run found.
#[derive(Debug)]
pub struct Part {
    /// Its section of the report.
    pub text: String,
    /// What it was to reach.
    pub aims: Vec<Aim>,
    /// Requests to Tandem's sites that failed.
    pub failed: usize,
}

impl Aim {
    /// At most `limit` in `unit`; without a unit both are counts.
    #[must_use]
    pub fn at_most(what: &str, measured: Option<f64>, (limit, unit): (f64, &str)) -> Self {
        let decimals = if limit < 10.0 && !unit.is_empty() { 2 } else { 0 };
        let measured = measured.filter(|value| value.is_finite());
        Self {
            what: what.to_owned(),
            aim: format!("≤ {limit} {unit}").trim_end().to_owned(),
            // Judged as it was measured, not as it is printed.
            hit: measured.is_some_and(|value| value <= limit),
            measured: measured.map(|value| format!("{value:.decimals$} {unit}").trim_end().to_owned()),
        }
    }

    fn verdict(&self) -> &'static str {
        match (&self.measured, self.hit) {
            (None, _) => "not measured",
            (Some(_), true) => "hit",
            (Some(_), false) => "**missed**",
        }
    }
}

/// The table of all aims.
#[must_use]
pub fn tell(aims: &[Aim]) -> String {
    let row = |aim: &Aim| {
        let measured = aim.measured.clone().unwrap_or_else(|| "–".to_owned());
        vec![aim.what.clone(), aim.aim.clone(), measured, aim.verdict().to_owned()]
    };
    table(&["", "aim", "measured", ""], &aims.iter().map(row).collect::<Vec<_>>())
}

/// One line with how many were hit.
#[must_use]
pub fn count(aims: &[Aim]) -> String {
    let with = |verdict| aims.iter().filter(|aim| aim.verdict() == verdict).count();
    let (hit, missed, unknown) = (with("hit"), with("**missed**"), with("not measured"));
    format!("{hit} aims hit, {missed} missed, {unknown} not measured")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_aim_is_hit_missed_or_not_measured() {
        let aims = [
            Aim::at_most("first new", Some(3.0), (3.0, "s")),
            Aim::at_most("wire", Some(100.2), (100.0, "kB")),
            Aim::at_most("disk", None, (100.0, "kB")),
        ];
        assert_eq!(count(&aims), "1 aims hit, 1 missed, 1 not measured");
        let text = tell(&aims);
        assert!(text.contains("| first new | ≤ 3 s | 3.00 s | hit |"), "{text}");
        assert!(text.contains("| wire | ≤ 100 kB | 100 kB | **missed** |"), "{text}");
        assert!(text.contains("| disk | ≤ 100 kB | – | not measured |"), "{text}");
    }
}
