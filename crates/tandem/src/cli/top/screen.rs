//! A picture that takes the whole terminal and is drawn anew: what was there before comes back at the end.

use crate::failure::Failure;
use crate::output::Output;
use crate::talk::window;

/// Another screen, without a cursor (xterm's private modes, which all terminals of today know).
const ENTER: &str = "\u{1b}[?1049h\u{1b}[?25l";
/// Back to what was there before.
const LEAVE: &str = "\u{1b}[?25h\u{1b}[?1049l";
/// To the upper left.
const HOME: &str = "\u{1b}[H";
/// Forget what stands behind on this line.
const TO_END_OF_LINE: &str = "\u{1b}[K";
/// Forget what stands below.
const BELOW: &str = "\u{1b}[J";

/// See the module.
pub(super) struct Screen {
    output: Output,
}

impl Screen {
    /// # Errors
    ///
    /// The terminal is gone.
    pub(super) fn enter(output: &Output) -> Result<Self, Failure> {
        output.text(ENTER)?;
        Ok(Self { output: output.clone() })
    }

    /// Shows as many lines as there is room for, each as far as there is.
    ///
    /// # Errors
    ///
    /// The terminal is gone.
    pub(super) fn draw(&self, text: &str) -> Result<(), Failure> {
        let size = window();
        self.output.text(&picture(text, (size.rows.into(), size.columns.into())))
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // A terminal that is gone needs nothing.
        let _ = self.output.text(LEAVE);
    }
}

fn picture(text: &str, (rows, columns): (usize, usize)) -> String {
    let mut picture = HOME.to_owned();
    for (number, line) in text.lines().take(rows).enumerate() {
        if number > 0 {
            picture.push_str("\r\n");
        }
        picture.push_str(&cut(line, columns));
        picture.push_str(TO_END_OF_LINE);
    }
    picture.push_str(BELOW);
    picture
}

/// The beginning of a line; colors take no room.
fn cut(line: &str, columns: usize) -> String {
    let (mut shown, mut width, mut in_color) = (String::new(), 0, false);
    for letter in line.chars() {
        if letter == '\u{1b}' {
            in_color = true;
        } else if !in_color {
            width += 1;
        }
        if in_color || width <= columns {
            shown.push(letter);
        }
        if in_color && letter == 'm' {
            in_color = false;
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_stays_within_the_window_and_colors_take_no_room() {
        let drawn = picture("one\n\u{1b}[31mtwo, long\u{1b}[0m\nthree\n", (2, 3));
        assert_eq!(drawn, "\u{1b}[Hone\u{1b}[K\r\n\u{1b}[31mtwo\u{1b}[0m\u{1b}[K\u{1b}[J");
    }
}
