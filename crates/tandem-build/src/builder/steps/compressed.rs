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
    /// balancer does not serve are left as they are.
    pub(super) async fn compress(
        &self,
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
            for folder in folders {
                let folder = folder.strip_prefix(&format!("{APP}/")).unwrap_or(&folder);
                let mount = format!("{APP}/{folder}");
                match parts.iter_mut().find(|part| part.mount == mount) {
                    Some(part) => {
                        let Compressed { tree, files, bytes } = compressor.tree(&part.tree)?;
                        (part.tree, part.files, part.bytes) = (tree, files, bytes);
                    }
                    None => compressor.folder(&mut app, folder)?,
                }
            }
            let made = compressor.made();
            compressor.finish();
            Ok::<_, Error>((app, parts, made))
        };
        let (app, parts, made) = self.blocking(work).await?;
        part.end(match made {
            0 => "cached".to_owned(),
            made => count(made, "file", "files"),
        });
        Ok((app, parts))
    }
}
