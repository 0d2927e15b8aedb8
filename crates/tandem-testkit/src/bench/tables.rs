//! Figures as people read them: median and spread, Markdown rows.

use std::time::Duration;

/// A heading with its text.
#[must_use]
pub fn section(title: &str, text: &str) -> String {
    format!("\n## {title}\n\n{text}\n\n")
}

/// A Markdown table.
#[must_use]
pub fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    let line = |cells: Vec<&str>| format!("| {} |\n", cells.join(" | "));
    let mut text = line(head.to_vec());
    text.push_str(&line(vec!["---"; head.len()]));
    for row in rows {
        text.push_str(&line(row.iter().map(String::as_str).collect()));
    }
    text
}

/// `1.23 (1.10–1.60)`: median and extremes with this many decimals, in the unit of the values.
#[must_use]
pub fn spread(values: &[f64], decimals: usize) -> String {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let (Some(least), Some(most)) = (sorted.first(), sorted.last()) else { return "–".to_owned() };
    let median = quantile(&sorted, 0.5);
    format!("{median:.decimals$} ({least:.decimals$}–{most:.decimals$})")
}

/// The median of any values; none where there are none.
#[must_use]
pub fn median(values: &[f64]) -> Option<f64> {
    part(values, 0.5)
}

/// The nearest-rank quantile of any values; none where there are none.
#[must_use]
pub fn part(values: &[f64], part: f64) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    (!sorted.is_empty()).then(|| quantile(&sorted, part))
}

/// Seconds of each.
#[must_use]
pub fn seconds(values: &[Duration]) -> Vec<f64> {
    values.iter().map(Duration::as_secs_f64).collect()
}

/// `12.3 / 45.6 / 78.9`: median, 99th percentile and maximum in milliseconds.
#[must_use]
pub fn millis_p50_p99_max(values: &[f64]) -> Vec<String> {
    let cell =
        |rank| part(values, rank).map_or_else(|| "–".to_owned(), |value| format!("{:.0}", value * 1e3));
    [0.5, 0.99, 1.0].map(cell).to_vec()
}

/// The nearest-rank quantile of sorted values; 0 where there are none.
#[must_use]
pub fn quantile(sorted: &[f64], part: f64) -> f64 {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rank within the list")]
    let rank = (part * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.max(1) - 1).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_values_that_were_seen() {
        let values = [1.0, 2.0, 3.0, 10.0];
        assert_eq!(quantile(&values, 0.5).to_bits(), 2.0_f64.to_bits());
        assert_eq!(quantile(&values, 0.99).to_bits(), 10.0_f64.to_bits());
        assert_eq!(spread(&[3.0, 1.0, 2.0], 1), "2.0 (1.0–3.0)");
        assert_eq!(spread(&[], 1), "–");
    }
}
