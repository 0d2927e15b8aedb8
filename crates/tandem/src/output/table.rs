//! Tables: columns aligned by two spaces, a heading in capitals, no lines around. Easy on the eye and on `awk`.

use super::{Style, visible};

/// One field: its text, and how it is painted (which takes no width). Control characters in it are shown.
#[derive(Debug, Clone)]
pub(crate) struct Cell {
    text: String,
    painted: Option<String>,
}

impl Cell {
    /// A field that looks different from what it says.
    pub(crate) fn painted(text: impl Into<String>, paint: impl FnOnce(&str) -> String) -> Self {
        let text = visible(&text.into()).into_owned();
        let painted = paint(&text);
        Self { text, painted: Some(painted) }
    }

    fn width(&self) -> usize {
        self.text.chars().count()
    }

    /// What the field says, without paint.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }
}

impl<T: ToString> From<T> for Cell {
    fn from(text: T) -> Self {
        Self { text: visible(&text.to_string()).into_owned(), painted: None }
    }
}

/// Rows under headings.
#[derive(Debug, Clone)]
pub(crate) struct Table {
    headings: Vec<&'static str>,
    rows: Vec<Vec<Cell>>,
}

impl Table {
    /// A table without rows.
    pub(crate) fn new(headings: &[&'static str]) -> Self {
        Self { headings: headings.to_vec(), rows: Vec::new() }
    }

    /// Adds a row; it has one field per heading.
    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = Cell>) {
        let row: Vec<Cell> = cells.into_iter().collect();
        debug_assert_eq!(row.len(), self.headings.len(), "a row has one field per heading");
        self.rows.push(row);
    }

    /// The whole table, or `empty` (what to type next) where it has no rows. Ends with a line break.
    pub(crate) fn render(&self, style: Style, empty: &str) -> String {
        if self.rows.is_empty() {
            return format!("{empty}\n");
        }
        let heading: Vec<Cell> =
            self.headings.iter().map(|h| Cell::painted(*h, |text| style.dim(text))).collect();
        let widths = self.widths();
        std::iter::once(&heading).chain(&self.rows).map(|row| render_row(row, &widths)).collect()
    }

    fn widths(&self) -> Vec<usize> {
        let mut widths: Vec<usize> = self.headings.iter().map(|h| h.chars().count()).collect();
        for row in &self.rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.width());
            }
        }
        widths
    }
}

/// Pads all fields but the last one that says something: no trailing blanks to copy along.
fn render_row(row: &[Cell], widths: &[usize]) -> String {
    let last = row.iter().rposition(|cell| !cell.text.is_empty()).unwrap_or_default();
    let mut line = String::new();
    for (index, (cell, width)) in row.iter().zip(widths).enumerate().take(last + 1) {
        line.push_str(cell.painted.as_ref().unwrap_or(&cell.text));
        if index < last {
            line.extend(std::iter::repeat_n(' ', width - cell.width() + 2));
        }
    }
    line.push('\n');
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_whether_painted_or_not_and_lines_end_without_blanks() {
        let mut table = Table::new(&["NAME", "STATE", "WHY"]);
        table.row(["web.1".into(), Cell::painted("ready", |t| format!("<{t}>")), "".into()]);
        table.row(["worker.12".into(), "crashed".into(), "exit code 1".into()]);
        let text = table.render(Style::new(false), "nothing");
        assert_eq!(text, "NAME       STATE    WHY\nweb.1      <ready>\nworker.12  crashed  exit code 1\n");
    }

    #[test]
    fn an_empty_table_says_what_to_type() {
        let table = Table::new(&["NAME"]);
        assert_eq!(table.render(Style::new(true), "no apps yet"), "no apps yet\n");
    }
}
