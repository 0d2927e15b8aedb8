//! What commands with the network are told of it: settings, and certificates where they can read them.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use tandem_sandbox::Mount;
use tandem_types::instance::Isolation;

use super::{TOOLS, Workshop};
use crate::Error;

/// Setting with a bundle of certificates, in one file.
const FILE: &str = "SSL_CERT_FILE";
/// Setting with a folder of certificates.
const FOLDER: &str = "SSL_CERT_DIR";
/// What other programs than uv call [`FILE`]: git, curl, Python's requests, pip and Node.
const SAME: [&str; 5] =
    ["CURL_CA_BUNDLE", "GIT_SSL_CAINFO", "NODE_EXTRA_CA_CERTS", "PIP_CERT", "REQUESTS_CA_BUNDLE"];
/// Settings with one file of certificates each, and the name of its copy below the tools.
const COPIES: [(&str, &str); 3] = [
    (FILE, "certificates.pem"),
    ("GIT_SSL_CAINFO", "certificates-git.pem"),
    ("NODE_EXTRA_CA_CERTS", "certificates-node.pem"),
];
/// Where a folder is seen.
const SEEN_FOLDER: &str = "/certificates";
/// Of the host, what sandboxes see as well.
const SEEN: [&str; 2] = ["/usr", "/etc/ssl"];

impl Workshop {
    /// Variables and mounts for a command with the network. Certificates that an administrator keeps where a sandbox does not
    /// see them are brought in: they are no secret.
    ///
    /// # Errors
    /// The build's folder cannot be written.
    pub(crate) fn way_out(&self) -> Result<(BTreeMap<String, String>, Vec<Mount>), Error> {
        let mut variables = self.network().variables().clone();
        let mut mounts = Vec::new();
        if self.isolation == Isolation::Sandbox {
            for (name, copy) in COPIES {
                let Some(path) = variables.get(name).filter(|path| !is_seen(path)) else { continue };
                match fs::read(path) {
                    Ok(bytes) => {
                        self.put_tool(copy, &bytes)?;
                        variables.insert(name.to_owned(), format!("{TOOLS}/{copy}"));
                    }
                    Err(error) => tracing::warn!(%error, "cannot read {path}, which {name} names"),
                }
            }
            if let Some(path) =
                variables.get(FOLDER).filter(|path| !is_seen(path) && Path::new(path).is_dir())
            {
                mounts.push(Mount::read_only(path, SEEN_FOLDER));
                variables.insert(FOLDER.to_owned(), SEEN_FOLDER.to_owned());
            }
        }
        if let Some(bundle) = variables.get(FILE).cloned() {
            for name in SAME {
                variables.entry(name.to_owned()).or_insert_with(|| bundle.clone());
            }
        }
        Ok((variables, mounts))
    }
}

fn is_seen(path: &str) -> bool {
    let real = fs::canonicalize(path).unwrap_or_else(|_| path.into());
    SEEN.iter().any(|folder| real.starts_with(folder))
}
