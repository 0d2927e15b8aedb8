//! Static files of builds, served without the app.
//!
//! Trees come from the server when a table is prepared and stay on this machine's disk, so that they are served while
//! the server is away. Trees of earlier releases are looked into after the serving one's: open pages still ask for their
//! files. What is in no tree is the app's to answer. A balancer without a server serves folders of the disk instead ([`Disk`]).

mod answer;
mod body;
mod coding;
mod disk;
mod hot;
mod kind;
mod library;
mod path;
mod proof;
mod shelf;
mod site;
mod sweep;

pub use answer::answer;
pub use body::FileBody;
pub use disk::Disk;
pub use library::{Library, LoadError, load};
pub use path::file_name;
pub use proof::prove;
pub use shelf::Shelf;
pub use site::{Folder, Site};
