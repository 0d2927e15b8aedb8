//! A file of routes: whatever the text, it is read, or refused at a place inside it.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tandem_balancer::{Mistake, fuzzing};

fuzz_target!(|text: &str| {
    match fuzzing::routes(text) {
        // One more route behind it is one more route, or is there twice.
        Ok(counts) => {
            let more =
                fuzzing::routes(&format!("{text}\n[[route]]\ndomain = \"fuzz.invalid\"\nfolder = \"/\"\n"));
            if let Ok(more) = more {
                assert_eq!(more, [counts[0] + 1, counts[1], counts[2]], "one more route");
            }
        }
        Err(mistake) => points_into(&mistake, text),
    }
});

/// A mistake is shown where it is: the line is one of the text's, the mark not beyond its end.
fn points_into(mistake: &Mistake, text: &str) {
    let line = text.split('\n').nth(mistake.line - 1).expect("the line is there");
    assert!(mistake.column >= 1 && mistake.column <= line.chars().count() + 1, "{mistake:?}");
    assert_eq!(line.trim_end_matches('\r'), mistake.excerpt.trim_end_matches('\r'), "{mistake:?}");
    assert!(!mistake.message.contains('\n') && !mistake.in_one_line().contains('\n'), "{mistake:?}");
    assert!(mistake.detail().lines().count() >= 1);
}
