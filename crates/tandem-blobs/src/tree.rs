//! Trees as bytes: the one canonical form of a folder's listing, and the rules for its names.
//!
//! The form is JSON with sorted keys and without white space. Reading refuses every other spelling of the same
//! tree, so that a folder has exactly one digest and no two digests name the same folder.

use tandem_types::Digest;
use tandem_types::tree::{Entry, Tree};

/// Folders deeper than this are refused: paths end at 4,096 bytes anyway, and recursion stays bounded.
pub const MAX_DEPTH: usize = 128;
/// Files, folders and links in one tree. A small tree can name millions through folders shared over and over.
pub const MAX_ENTRIES: u64 = 1_000_000;
/// Bytes of one folder's listing: a folder of 100,000 files has about 12 MB.
pub const MAX_TREE_BYTES: u64 = 64 * 1024 * 1024;
/// Every tree begins so; tells trees from files without reading them whole.
pub(crate) const TREE_PREFIX: &[u8] = b"{\"entries\":{";

/// Why bytes are not a tree.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Not JSON of this shape.
    #[error("read a folder's listing")]
    Shape(#[source] serde_json::Error),
    /// Another spelling than the canonical one.
    #[error("read a folder's listing: it is not in canonical form")]
    NotCanonical,
    /// Larger than any real folder's.
    #[error("read a folder's listing: it has {0} bytes, {MAX_TREE_BYTES} at most are read")]
    TooLong(u64),
    /// Said to be empty and is not, or the other way round.
    #[error("read a folder's listing: {0:?} has another size than its content")]
    Size(String),
    /// A name that no folder may have.
    #[error("read a folder's listing: {0:?} is not a file name")]
    Name(String),
}

/// The digest of some bytes.
#[must_use]
pub fn digest_of(bytes: &[u8]) -> Digest {
    Digest(*blake3::hash(bytes).as_bytes())
}

/// The canonical bytes of a tree.
#[must_use]
pub fn encode(tree: &Tree) -> Vec<u8> {
    let mut text = String::with_capacity(64 + tree.entries.len() * 128);
    text.push_str("{\"entries\":{");
    for (index, (name, entry)) in tree.entries.iter().enumerate() {
        if index > 0 {
            text.push(',');
        }
        push_json(&mut text, name);
        text.push(':');
        push_entry(&mut text, entry);
    }
    text.push_str("}}");
    text.into_bytes()
}

/// Reads canonical bytes back.
///
/// # Errors
/// Refuses other JSON, other spellings of the same tree, names that are no file names, and what is too long to be read.
pub fn decode(bytes: &[u8]) -> Result<Tree, Error> {
    if bytes.len() as u64 > MAX_TREE_BYTES {
        return Err(Error::TooLong(bytes.len() as u64));
    }
    let tree: Tree = serde_json::from_slice(bytes).map_err(Error::Shape)?;
    if let Some(wrong) = tree.entries.keys().find(|name| !is_name(name)) {
        return Err(Error::Name(wrong.clone()));
    }
    // Empty files are made without a look at a blob, so here their size is their content.
    let empty = digest_of(b"");
    let lies = |entry: &Entry| match entry {
        Entry::File { digest, size, .. } => (*size == 0) != (*digest == empty),
        Entry::Folder { .. } | Entry::Link { .. } => false,
    };
    if let Some((name, _)) = tree.entries.iter().find(|(_, entry)| lies(entry)) {
        return Err(Error::Size(name.clone()));
    }
    if encode(&tree) != bytes {
        return Err(Error::NotCanonical);
    }
    Ok(tree)
}

/// Whether a folder may have an entry of this name.
#[must_use]
pub fn is_name(name: &str) -> bool {
    !name.is_empty() && name.len() <= 255 && name != "." && name != ".." && !name.contains(['/', '\0'])
}

fn push_entry(text: &mut String, entry: &Entry) {
    match entry {
        Entry::File { digest, size, executable } => {
            let executable = if *executable { "\"executable\":true," } else { "" };
            text.push_str(&format!(
                "{{\"digest\":\"{digest}\",{executable}\"size\":{size},\"type\":\"file\"}}"
            ));
        }
        Entry::Folder { digest } => {
            text.push_str(&format!("{{\"digest\":\"{digest}\",\"type\":\"folder\"}}"));
        }
        Entry::Link { target } => {
            text.push_str("{\"target\":");
            push_json(text, target);
            text.push_str(",\"type\":\"link\"}");
        }
    }
}

fn push_json(text: &mut String, value: &str) {
    text.push_str(&serde_json::to_string(value).expect("a string is always JSON"));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Tree {
        let digest = digest_of(b"x");
        let entries = [
            ("a \"b\"\n".to_owned(), Entry::File { digest, size: 1, executable: true }),
            ("b".to_owned(), Entry::File { digest, size: 1, executable: false }),
            ("c".to_owned(), Entry::Folder { digest }),
            ("ü".to_owned(), Entry::Link { target: "b".to_owned() }),
        ];
        Tree { entries: entries.into_iter().collect() }
    }

    #[test]
    fn a_tree_has_one_spelling_with_sorted_keys() {
        let bytes = encode(&sample());
        let sorted = serde_json::to_vec(&sort(&serde_json::from_slice(&bytes).unwrap())).unwrap();
        assert_eq!(String::from_utf8(bytes.clone()).unwrap(), String::from_utf8(sorted).unwrap());
        assert_eq!(decode(&bytes).unwrap(), sample());
        assert!(bytes.starts_with(TREE_PREFIX));
    }

    #[test]
    fn the_first_version_of_the_format_stays_readable() {
        // Written down by hand; stores and hosts are full of exactly this.
        let digest = "c90df69b6ae1a5be4bb5a0b2a4a4b6a5f3f2a9d4c5b6a7988990a1b2c3d4e5f6";
        let golden = format!(
            "{{\"entries\":{{\"a\":{{\"digest\":\"{digest}\",\"size\":1,\"type\":\"file\"}},\
             \"b\":{{\"digest\":\"{digest}\",\"executable\":true,\"size\":2,\"type\":\"file\"}},\
             \"c\":{{\"digest\":\"{digest}\",\"type\":\"folder\"}},\
             \"d\":{{\"target\":\"a\",\"type\":\"link\"}}}}}}"
        );
        let digest = digest.parse().unwrap();
        let entries = [
            ("a".to_owned(), Entry::File { digest, size: 1, executable: false }),
            ("b".to_owned(), Entry::File { digest, size: 2, executable: true }),
            ("c".to_owned(), Entry::Folder { digest }),
            ("d".to_owned(), Entry::Link { target: "a".to_owned() }),
        ];
        let tree = Tree { entries: entries.into_iter().collect() };
        assert_eq!(decode(golden.as_bytes()).unwrap(), tree);
        assert_eq!(String::from_utf8(encode(&tree)).unwrap(), golden);
    }

    /// Sorts keys by way of an independent structure.
    fn sort(value: &serde_json::Value) -> serde_json::Value {
        let serde_json::Value::Object(map) = value else { return value.clone() };
        let sorted: std::collections::BTreeMap<_, _> =
            map.iter().map(|(k, v)| (k.clone(), sort(v))).collect();
        serde_json::to_value(sorted).unwrap()
    }

    #[test]
    fn other_spellings_and_dangerous_names_are_refused() {
        let digest = digest_of(b"x");
        let entry = format!("{{\"digest\":\"{digest}\",\"size\":1,\"type\":\"file\"}}");
        for name in ["", ".", "..", "a/b", "a\\u0000"] {
            let text = format!("{{\"entries\":{{\"{name}\":{entry}}}}}");
            assert!(matches!(decode(text.as_bytes()), Err(Error::Name(_))), "{text}");
        }
        let swapped = format!("{{\"type\":\"file\",\"digest\":\"{digest}\",\"size\":1}}");
        let plain_false =
            format!("{{\"digest\":\"{digest}\",\"executable\":false,\"size\":1,\"type\":\"file\"}}");
        for wrong in [swapped, plain_false] {
            let text = format!("{{\"entries\":{{\"a\":{wrong}}}}}");
            assert!(matches!(decode(text.as_bytes()), Err(Error::NotCanonical)), "{text}");
        }
        let spaced = format!("{{\"entries\": {{\"a\":{entry}}}}}");
        assert!(matches!(decode(spaced.as_bytes()), Err(Error::NotCanonical)));
        let twice = format!("{{\"entries\":{{\"a\":{entry},\"a\":{entry}}}}}");
        assert!(matches!(decode(twice.as_bytes()), Err(Error::NotCanonical)));
        assert!(matches!(decode(b"[]"), Err(Error::Shape(_))));
    }

    #[test]
    fn a_file_that_is_said_to_be_empty_is_and_no_other() {
        let file = |digest, size| {
            let entry = Entry::File { digest, size, executable: false };
            decode(&encode(&Tree { entries: [("a".to_owned(), entry)].into_iter().collect() }))
        };
        assert!(file(digest_of(b""), 0).is_ok() && file(digest_of(b"x"), 1).is_ok());
        for wrong in [file(digest_of(b"x"), 0), file(digest_of(b""), 1)] {
            assert!(matches!(wrong, Err(Error::Size(name)) if name == "a"));
        }
    }
}
