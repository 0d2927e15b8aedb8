//! What a source is and how it runs: what people wrote, completed by what is detected.
//!
//! `tandem.toml` wins over the Procfile, the Procfile over detection. A Procfile lists all processes there are, so
//! nothing is detected beside one.

use std::collections::BTreeSet;

use tandem_types::app::AppSpec;

use crate::Error;
use crate::django::Django;
use crate::node::Package;
use crate::python::{Asked, asked};
use crate::requirements::{self, Packages, Requirements};
use crate::server::Server;
use crate::source::{Source, below};
use tandem_app_file as app_file;
use tandem_app_file::{APP_FILE, AppFile};

mod app_object;
mod folders;
mod node_plan;
mod spec;
#[cfg(test)]
mod tests;
mod web_app;

use folders::Folders;
pub(crate) use node_plan::{Install, NodePlan};
use spec::Parts;
use web_app::WebApp;

/// Where the source is in instances and while it is built.
pub(crate) const APP: &str = "/app";
/// Where the dependencies are.
pub(crate) const VENV: &str = "/app/.venv";

/// How to build a source.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Recipe {
    /// What runs. Static folders are completed once they were collected.
    pub(crate) spec: AppSpec,
    /// Whether `[static]` says which folders are static.
    pub(crate) static_declared: bool,
    /// Python dependencies.
    pub(crate) requirements: Option<Requirements>,
    /// The web server that is added to them.
    pub(crate) server: Option<Server>,
    /// The Django project.
    pub(crate) django: Option<Django>,
    /// Version of Python that the source asks for.
    pub(crate) python: Option<Asked>,
    /// What is done with Node.
    pub(crate) node: Option<NodePlan>,
    /// Folder below the top in which commands start.
    pub(crate) work: String,
    /// Shell commands before static files are collected.
    pub(crate) commands: Vec<String>,
    /// Shell commands once they are collected.
    pub(crate) after_collectstatic: Vec<String>,
    /// What people should know.
    pub(crate) warnings: Vec<String>,
    /// What was taken for granted.
    pub(crate) notes: Vec<String>,
}

impl Recipe {
    /// Reads a source, or one folder of it.
    ///
    /// # Errors
    /// Mistakes in its files, or nothing that says how to run it.
    pub(crate) fn read(source: &Source, root: Option<&str>) -> Result<Self, Error> {
        let asked = folders::asked(source, root)?;
        let file = source.text(&below(&asked, APP_FILE))?;
        let file = file.map(|text| app_file::parse(&text)).transpose()?;
        let folders = Folders::decide(source, asked, file.as_ref())?;
        let parts = Parts::read(source, file.is_some(), file.unwrap_or_default(), folders)?;
        let spec = parts.spec()?;
        let mut notes: Vec<String> = parts.folders.note.iter().cloned().collect();
        notes.extend(parts.procfile.iter().flat_map(|procfile| procfile.notes.iter().cloned()));
        notes.extend(parts.django.iter().flat_map(|django| django.notes.iter().cloned()));
        notes.extend(parts.requirements.iter().flat_map(|found| found.notes.iter().cloned()));
        let wanted = parts.file.build.python.as_deref();
        let python = asked::read(source, &parts.folders.work, wanted, parts.requirements.as_ref())?;
        notes.extend(python.notes);
        notes.extend(parts.app_note());
        let server = parts.added_server(&spec);
        notes.extend(server.map(|server| server.note(parts.other_server())));
        let (node, commands) = parts.node_plan(&spec, &mut notes)?;
        let mut warnings: Vec<String> = parts.requirements.iter().flat_map(Requirements::warnings).collect();
        warnings.extend(node.as_ref().and_then(NodePlan::warning));
        Ok(Self {
            spec: node.as_ref().map_or(spec.clone(), |node| node.complete(spec)),
            static_declared: parts.file.static_folders.is_some(),
            server,
            python: python.asked,
            node,
            commands,
            after_collectstatic: parts.file.build.after_collectstatic,
            work: parts.folders.work,
            requirements: parts.requirements,
            django: parts.django,
            warnings,
            notes,
        })
    }

    /// Folders below `/app` on which something is mounted, volumes included.
    pub(crate) fn mount_points(&self) -> BTreeSet<String> {
        let volumes = self.spec.volumes.values().filter_map(|path| path.strip_prefix("/app/"));
        let mut points: BTreeSet<String> = volumes.map(str::to_owned).collect();
        if self.requirements.is_some() {
            points.insert(".venv".to_owned());
        }
        points.extend(self.node.as_ref().and_then(NodePlan::mount_point));
        points
    }
}
