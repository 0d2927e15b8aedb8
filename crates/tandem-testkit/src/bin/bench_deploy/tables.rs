//! Figures as people read them: median and spread, Markdown rows.

use std::time::Duration;

/// Head of the report.
pub(crate) fn head(machine: &str, aims: &str) -> String {
    format!(
        "# What a deploy and a rollback cost\n\n{machine}\n\nWritten by `make bench-deploy`; the program is \
         `crates/tandem-testkit/src/bin/bench_deploy`. The app is `examples/guestbook` with two web instances and a \
         worker, SQLite, ten entries on the page. Everything runs on this one machine, so what is measured and \
         what measures share its cores. Tandem and the scripts take turns in one run. CPU seconds are the kernel's own \
         clock of each process unless said otherwise; growth of the disk is that of the file system after a sync, as `df` \
         shows it. Figures are median (least–most).\n\n## Aims\n\n{aims}"
    )
}

/// A heading with its text.
pub(crate) fn section(title: &str, text: &str) -> String {
    format!("\n## {title}\n\n{text}\n\n")
}

/// A Markdown table.
pub(crate) fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    let line = |cells: Vec<&str>| format!("| {} |\n", cells.join(" | "));
    let mut text = line(head.to_vec());
    text.push_str(&line(vec!["---"; head.len()]));
    for row in rows {
        text.push_str(&line(row.iter().map(String::as_str).collect()));
    }
    text
}

/// `1.23 (1.10–1.60)`: median and extremes with this many decimals, in the unit of the values.
pub(crate) fn spread(values: &[f64], decimals: usize) -> String {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let (Some(least), Some(most)) = (sorted.first(), sorted.last()) else { return "–".to_owned() };
    let median = quantile(&sorted, 0.5);
    format!("{median:.decimals$} ({least:.decimals$}–{most:.decimals$})")
}

/// The median of any values; none where there are none.
pub(crate) fn median(values: &[f64]) -> Option<f64> {
    part(values, 0.5)
}

/// The nearest-rank quantile of any values; none where there are none.
pub(crate) fn part(values: &[f64], part: f64) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    (!sorted.is_empty()).then(|| quantile(&sorted, part))
}

/// Seconds of each.
pub(crate) fn seconds(values: &[Duration]) -> Vec<f64> {
    values.iter().map(Duration::as_secs_f64).collect()
}

/// `12.3 / 45.6 / 78.9`: median, 99th percentile and maximum in milliseconds.
pub(crate) fn millis_p50_p99_max(values: &[f64]) -> Vec<String> {
    let cell =
        |rank| part(values, rank).map_or_else(|| "–".to_owned(), |value| format!("{:.0}", value * 1e3));
    [0.5, 0.99, 1.0].map(cell).to_vec()
}

/// The nearest-rank quantile of sorted values; 0 where there are none.
pub(crate) fn quantile(sorted: &[f64], part: f64) -> f64 {
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
