//! The last step before a build is put together: compressed forms of what the balancer will serve.

use std::sync::Arc;

use tandem_blobs::BlobStore;
use tandem_types::app::AppSpec;
use tandem_types::build::Subtree;

use super::super::part::{Part, count};
use super::Steps;
use crate::Error;
use crate::compress::{Compressed, Compressor};
use crate::recipe::APP;
use crate::source::Source;
use crate::workshop::Workshop;

impl Steps<'_> {
    /// Adds the forms to each static folder, wherever it is: a part of its own, or a folder of the source. Folders that the
    /// balancer does not serve are left as they are, and so are files for which the build has no time left.
    pub(super) async fn compress(
        &mut self,
        mut app: Source,
        mut parts: Vec<Subtree>,
        spec: &AppSpec,
    ) -> Result<(Source, Vec<Subtree>), Error> {
        let folders: Vec<String> = spec.static_folders.values().cloned().collect();
        if folders.is_empty() {
            return Ok((app, parts));
        }
        let shop = Arc::clone(&self.shop);
        let part = Part::begin("compressed files", &shop, self.events);
        let work = move |shop: &Workshop, store: &BlobStore| {
            let mut compressor = Compressor::new(store, &shop.folder);
            let folders: Vec<String> = folders
                .iter()
                .map(|folder| folder.strip_prefix(&format!("{APP}/")).unwrap_or(folder).to_owned())
                .collect();
            for folder in &folders {
                match part_at(&mut parts, folder) {
                    Some(part) => compressor.look_at_tree(&part.tree)?,
                    None => compressor.look_at_folder(&app, folder),
                }
            }
            compressor.run(&|| shop.is_over())?;
            for folder in &folders {
                match part_at(&mut parts, folder) {
                    Some(part) => {
                        let Compressed { tree, files, bytes } = compressor.tree(&part.tree)?;
                        (part.tree, part.files, part.bytes) = (tree, files, bytes);
                    }
                    None => compressor.folder(&mut app, folder),
                }
            }
            let (made, left) = (compressor.made(), compressor.left());
            compressor.finish();
            Ok::<_, Error>((app, parts, made, left))
        };
        let (app, parts, made, left) = self.blocking(work).await?;
        part.end(match made {
            0 => "cached".to_owned(),
            made => count(made, "file", "files"),
        });
        self.warn((left > 0).then(|| {
            format!(
                "{} served without being compressed: the build's time of {} was over before; the next build goes on with them",
                count(left, "static file is", "static files are"),
                self.shop.limit()
            )
        }));
        Ok((app, parts))
    }
}

/// The part that is mounted on a folder of the app.
fn part_at<'p>(parts: &'p mut [Subtree], folder: &str) -> Option<&'p mut Subtree> {
    let mount = format!("{APP}/{folder}");
    parts.iter_mut().find(|part| part.mount == mount)
}
