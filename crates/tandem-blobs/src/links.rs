//! Which symbolic links a tree may hold.
//!
//! A link may stay inside its tree, or be exactly the interpreter that its build recorded. The rule looks at the
//! text alone, so it holds wherever the tree is checked out: `..` only at the beginning, where it climbs real
//! folders. A `..` behind a name could climb out through another link, so it is refused even where it would not.

/// Why a link is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// `/…` other than the interpreter.
    #[error("its target is absolute")]
    Absolute,
    /// More `..` than folders above it.
    #[error("its target is outside of the folder")]
    Outside,
    /// `a/../b`.
    #[error("its target has `..` behind a name")]
    Winding,
    /// Nothing, or a NUL.
    #[error("its target is not a path")]
    NotAPath,
}

/// Checks a link that sits `depth` folders below the root of its tree (0: in the root itself).
///
/// # Errors
/// Says why the link must not be kept.
pub fn check(depth: usize, target: &str, interpreter: Option<&str>) -> Result<(), Refusal> {
    if target.is_empty() || target.contains('\0') {
        return Err(Refusal::NotAPath);
    }
    if target.starts_with('/') {
        return if interpreter == Some(target) { Ok(()) } else { Err(Refusal::Absolute) };
    }
    let parts = target.split('/').filter(|part| !part.is_empty() && *part != ".");
    let (mut climbed, mut named) = (0, false);
    for part in parts {
        match part {
            ".." if named => return Err(Refusal::Winding),
            ".." => climbed += 1,
            _ => named = true,
        }
    }
    if climbed > depth { Err(Refusal::Outside) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_stay_inside_the_tree_or_name_the_interpreter() {
        let python = Some("/usr/bin/python3.11");
        for (depth, target) in [(0, "a"), (0, "a/b"), (1, "../a"), (2, "../../a"), (0, "./a"), (1, "..")] {
            assert_eq!(check(depth, target, None), Ok(()), "{target}");
        }
        assert_eq!(check(1, "/usr/bin/python3.11", python), Ok(()));
        for (depth, target, refusal) in [
            (0, "..", Refusal::Outside),
            (1, "../../etc/passwd", Refusal::Outside),
            (5, "/etc/passwd", Refusal::Absolute),
            (5, "/usr/bin/python3.11/", Refusal::Absolute),
            (5, "/usr/bin/../bin/python3.11", Refusal::Absolute),
            (5, "a/../b", Refusal::Winding),
            (0, "", Refusal::NotAPath),
            (0, "a\0b", Refusal::NotAPath),
        ] {
            assert_eq!(check(depth, target, python), Err(refusal), "{target}");
        }
        assert_eq!(check(1, "/usr/bin/python3.11", None), Err(Refusal::Absolute));
    }
}
