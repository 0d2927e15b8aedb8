//! Static files of builds, served without the app.
//!
//! Trees come from the server when a table is prepared and stay on this machine's disk, so that they are served while
//! the server is away. Trees of earlier releases are looked into after the serving one's: open pages still ask for their
//! files. What is in no tree is the app's to answer.

mod answer;
mod body;
mod coding;
mod kind;
mod library;
mod path;
mod proof;
mod shelf;
mod site;
mod sweep;

pub(crate) use answer::answer;
pub(crate) use body::FileBody;
pub(crate) use library::{Library, LoadError, load};
pub(crate) use path::file_name;
pub(crate) use proof::prove;
pub(crate) use shelf::Shelf;
pub(crate) use site::{Folder, Site};
