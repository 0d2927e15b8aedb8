//! Carries rollouts out: looks at the world, plans, writes the plan in one transaction, looks again.

mod apply;
mod builds;
mod engine;
mod farewell;
mod followers;
mod reconciler;
mod static_files;

pub(crate) use reconciler::Reconciler;
