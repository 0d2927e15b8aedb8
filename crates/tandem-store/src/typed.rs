//! Documents as values of their kind.

use tandem_types::Revision;
use tandem_types::document::{Cursor, Document, Kind};

use crate::{Error, Expect, Store, kind};

/// A value as it is stored.
#[derive(Debug, Clone, PartialEq)]
pub struct Stored<T> {
    /// Its key.
    pub key: String,
    /// Revision of the transaction that wrote it last.
    pub revision: Revision,
    /// The value.
    pub value: T,
}

impl<T> Stored<T> {
    /// For the transaction that writes it back: nobody else has written it since.
    #[must_use]
    pub fn unchanged(&self) -> Expect {
        Expect::Revision(self.revision)
    }
}

impl<T: Kind> TryFrom<Document> for Stored<T> {
    type Error = Error;

    /// Reads a document of the same kind, of whatever version: fields that are not known here are passed over, which
    /// is why writing back over a newer version is refused.
    fn try_from(document: Document) -> Result<Self, Error> {
        let Document { key, revision, kind, body } = document;
        if kind::parse(&kind)?.name != kind::parse(T::KIND)?.name {
            return Err(Error::OtherKind { key, kind, wanted: T::KIND.to_owned() });
        }
        match serde_json::from_value(body) {
            Ok(value) => Ok(Self { key, revision, value }),
            Err(source) => Err(Error::Body { key, wanted: T::KIND.to_owned(), source }),
        }
    }
}

/// One document as a value; none where it is not there.
///
/// # Errors
/// The store fails, or the document is not a `T`.
pub async fn get_as<T: Kind>(store: &dyn Store, key: &str) -> Result<Option<Stored<T>>, Error> {
    store.get(key).await?.map(Stored::try_from).transpose()
}

/// All documents of `T`'s kind under a prefix, and where a watch goes on. Documents of other kinds under the prefix are
/// left out.
///
/// # Errors
/// The store fails, or a document is not what its kind says.
pub async fn list_as<T: Kind>(store: &dyn Store, prefix: &str) -> Result<(Vec<Stored<T>>, Cursor), Error> {
    let listing = store.list(prefix).await?;
    let name = kind::parse(T::KIND)?.name;
    let of_kind = |document: &Document| kind::parse(&document.kind).is_ok_and(|format| format.name == name);
    let values = listing.documents.into_iter().filter(of_kind).map(Stored::try_from);
    Ok((values.collect::<Result<_, _>>()?, listing.cursor))
}
