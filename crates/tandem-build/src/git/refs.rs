//! Which of the references that a repository has is meant.

/// What a repository says it has.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Refs {
    /// Full name and hash, in the order told.
    all: Vec<(String, String)>,
    /// Full name of the branch that `HEAD` leads to.
    head: Option<String>,
}

/// What is to be fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Chosen {
    /// Full name, or a hash.
    pub(super) fetch: String,
    /// The branch, where it is one.
    pub(super) branch: Option<String>,
}

/// Names that resemble a missing one, at most this many are told.
const NAMES_SHOWN: usize = 3;

impl Refs {
    /// Reads what `git ls-remote --symref` prints.
    pub(super) fn parse(text: &str) -> Self {
        let mut refs = Self::default();
        for (value, name) in text.lines().filter_map(|line| line.split_once('\t')) {
            match value.strip_prefix("ref: ") {
                Some(target) if name == "HEAD" => refs.head = Some(target.to_owned()),
                Some(_) => {}
                // `v1^{}` is the commit behind an annotated tag, which fetching the tag brings along.
                None if name.ends_with("^{}") => {}
                None => refs.all.push((name.to_owned(), value.to_owned())),
            }
        }
        refs
    }

    /// What a name stands for; without one what the repository calls `HEAD`. A branch wins over a tag of the same name.
    pub(super) fn choose(&self, name: Option<&str>) -> Option<Chosen> {
        let Some(name) = name.filter(|name| *name != "HEAD") else {
            return self.head_or_only();
        };
        let full = ["refs/heads/", "refs/tags/", "refs/", ""].map(|prefix| format!("{prefix}{name}"));
        let found = full.into_iter().find(|full| self.all.iter().any(|(known, _)| known == full));
        match found {
            Some(full) => Some(Chosen { branch: branch_of(&full), fetch: full }),
            None => {
                // git takes both cases and prints the lower one.
                let name = name.to_ascii_lowercase();
                let is_tip = |hash: &str, known: &str| hash == name && known.starts_with("refs/heads/");
                let tip = self.all.iter().find(|(known, hash)| is_tip(hash, known));
                let branch = tip.and_then(|(known, _)| branch_of(known));
                is_hash(&name).then_some(Chosen { fetch: name, branch })
            }
        }
    }

    /// Whether its objects are named by SHA-256: a repository of SHA-1, which is what ours is, cannot take them.
    pub(super) fn is_sha256(&self) -> bool {
        self.all.iter().any(|(_, hash)| hash.len() == 64)
    }

    fn head_or_only(&self) -> Option<Chosen> {
        let here = |wanted: &String| self.all.iter().any(|(name, _)| name == wanted);
        if let Some(head) = self.head.clone().filter(here) {
            return Some(Chosen { branch: branch_of(&head), fetch: head });
        }
        here(&"HEAD".to_owned()).then(|| Chosen { fetch: "HEAD".to_owned(), branch: None })
    }

    /// Branches and tags whose names resemble this one, the nearest first; else the first branches there are.
    pub(super) fn near(&self, name: &str) -> Vec<String> {
        let names = self.all.iter().filter_map(|(full, _)| {
            full.strip_prefix("refs/heads/").or_else(|| full.strip_prefix("refs/tags/"))
        });
        let allowed = name.chars().count().div_ceil(3).max(1);
        let score = |known: &str| {
            let contained = known.contains(name) || name.contains(known);
            let distance = strsim::damerau_levenshtein(name, known);
            (contained || distance <= allowed).then_some(distance)
        };
        let mut near: Vec<(usize, &str)> =
            names.clone().filter_map(|known| Some((score(known)?, known))).collect();
        near.sort_unstable();
        if near.is_empty() {
            let branches = self.all.iter().filter_map(|(full, _)| full.strip_prefix("refs/heads/"));
            return branches.take(NAMES_SHOWN).map(str::to_owned).collect();
        }
        near.dedup();
        near.into_iter().take(NAMES_SHOWN).map(|(_, known)| known.to_owned()).collect()
    }
}

fn branch_of(full: &str) -> Option<String> {
    full.strip_prefix("refs/heads/").map(str::to_owned)
}

/// A whole hash of a commit, by SHA-1.
pub(super) fn is_hash(text: &str) -> bool {
    text.len() == 40 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

/// The beginning of one, which no server fetches by.
pub(super) fn is_short_hash(text: &str) -> bool {
    (7..40).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refs() -> Refs {
        let a = "a".repeat(40);
        let b = "b".repeat(40);
        Refs::parse(&format!(
            "ref: refs/heads/main\tHEAD\n{a}\tHEAD\n{a}\trefs/heads/main\n{b}\trefs/heads/v1\n{b}\trefs/heads/feature/x\n\
             {b}\trefs/tags/v1\n{a}\trefs/tags/v1.2\n{b}\trefs/tags/v1.2^{{}}\n{b}\trefs/pull/7/head\n"
        ))
    }

    #[test]
    fn a_branch_wins_over_a_tag_and_any_full_name_may_be_said() {
        let (a, c) = ("a".repeat(40), "c".repeat(40));
        for (name, fetch, branch) in [
            (None, "refs/heads/main", Some("main")),
            (Some("HEAD"), "refs/heads/main", Some("main")),
            (Some("v1"), "refs/heads/v1", Some("v1")),
            (Some("refs/tags/v1"), "refs/tags/v1", None),
            (Some("tags/v1"), "refs/tags/v1", None),
            (Some("v1.2"), "refs/tags/v1.2", None),
            (Some("feature/x"), "refs/heads/feature/x", Some("feature/x")),
            (Some("pull/7/head"), "refs/pull/7/head", None),
            (Some(a.as_str()), a.as_str(), Some("main")),
            (Some(c.as_str()), c.as_str(), None),
            (Some(a.to_uppercase().as_str()), a.as_str(), Some("main")),
        ] {
            let expected = Chosen { fetch: fetch.to_owned(), branch: branch.map(str::to_owned) };
            assert_eq!(refs().choose(name), Some(expected), "{name:?}");
        }
        assert_eq!(refs().choose(Some("nope")), None);
        assert!(!refs().is_sha256() && Refs::parse(&format!("{}\tHEAD\n", "a".repeat(64))).is_sha256());
        assert_eq!(Refs::default().choose(None), None, "an empty repository");
    }

    #[test]
    fn names_that_resemble_a_missing_one_are_told_and_branches_where_none_does() {
        assert_eq!(refs().near("mian"), ["main"]);
        assert_eq!(refs().near("v1.3"), ["v1.2", "v1"]);
        assert_eq!(refs().near("something-else"), ["main", "v1", "feature/x"]);
    }
}
