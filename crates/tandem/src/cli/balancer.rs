//! `tandem balancer remove`: forgets a balancer that is gone for good. `tandem balancer` with its own options is the role,
//! which `tandem up` starts, or a service manager.

use serde::Serialize;
use tandem_types::BalancerId;
use tandem_types::api::Status;

use super::confirm::{Deed, confirm};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::roles;
use crate::session::Session;

/// Arguments of `balancer`: a verb, or those of the role.
#[derive(Debug, clap::Args)]
#[group(id = "balancer")]
#[command(
    subcommand_negates_reqs = true,
    args_conflicts_with_subcommands = true,
    arg_required_else_help = true,
    override_usage = "tandem balancer --http <ADDRESS>\n       tandem balancer --routes <FILE> --http <ADDRESS>\n       tandem balancer <COMMAND>",
    after_help = "\
With --http it is one of the three roles that `tandem up` runs together, for who has a service
manager start each of them: `tandem server`, `tandem runner` and `tandem balancer` find each other
by the data folder. While the server is away it serves the routes that it was told last, also after
a restart. SIGTERM and Ctrl-C end it once the requests under way are answered.

With --routes it needs no server and no data folder: it serves what the file says, and reads it
again when it changes, or at SIGHUP. A file with a mistake changes nothing. Such a file:

  [[route]]
  domain = \"www.example.org\"      # or \"*.example.org\", or \"*\" for every other host
  targets = [\"http://127.0.0.1:9000\", \"unix:/run/app.sock\"]
  health = \"/healthz\"

  [[route]]
  domain = \"www.example.org\"
  prefix = \"/docs\"
  folder = \"/srv/docs\"

Examples:
  tandem balancer --data /var/lib/tandem --http 0.0.0.0:80
  tandem balancer --routes routes.toml --http 0.0.0.0:80
  tandem balancer --data /var/lib/tandem --http 0.0.0.0:80 --access-log /var/log/tandem/access.log
  tandem balancer --routes routes.toml --http 0.0.0.0:80 --metrics 127.0.0.1:9180
  tandem balancer remove edge-2 --confirm edge-2"
)]
pub(crate) struct Args {
    /// What to do with one
    #[command(subcommand)]
    pub(crate) verb: Option<Verb>,
    /// Being one.
    #[command(flatten)]
    pub(crate) role: Option<roles::balancer::Args>,
    /// What it is told besides: clap asks whether there is a role by its own options alone, so these stand beside it.
    #[command(flatten)]
    pub(crate) traffic: roles::TrafficArgs,
}

/// Verbs of `balancer`.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Verb {
    /// Forget a balancer that is gone for good
    #[command(after_help = "\
A balancer that does not report may still serve the routes it had, so nothing they lead to is
stopped. Once its process or machine is gone for good, remove it: rollouts wait for it no longer,
and old instances are stopped. `tandem status` lists balancers; one that starts again comes back by
itself.

Example:
  tandem balancer remove edge-2 --confirm edge-2")]
    Remove {
        /// Its name
        name: BalancerId,
        /// The name once more, instead of being asked
        #[arg(long, value_name = "NAME")]
        confirm: Option<String>,
    },
}

pub(super) async fn run(verb: Verb, session: &Session) -> Result<Exit, Failure> {
    match verb {
        Verb::Remove { name, confirm } => remove(session, &name, confirm).await,
    }
}

/// What `--json` prints; fields are named as in `status`.
#[derive(Debug, Serialize)]
struct Removed<'a> {
    balancer: &'a BalancerId,
    state: &'static str,
}

async fn remove(session: &Session, name: &BalancerId, said: Option<String>) -> Result<Exit, Failure> {
    let status: Status = session.client()?.get("/v1/status").await?;
    ensure_gone(&status, name)?;
    let deed = Deed {
        name: name.as_str(),
        warning: format!("If {name} still runs, it serves its old routes to instances that are stopped now."),
        refusal: format!("the balancer {name} was not removed"),
        verb: "balancer remove",
    };
    confirm(session, &deed, said)?;
    let () = session.client()?.delete(&format!("/v1/balancers/{name}")).await?;
    session.output.note(format!("the balancer {name} is removed"));
    session.output.show(&Removed { balancer: name, state: "removed" }, |_| String::new())?;
    Ok(Exit::Done)
}

/// One that reports would be back in a second, and what it routes to must not be stopped.
fn ensure_gone(status: &Status, name: &BalancerId) -> Result<(), Failure> {
    let found = status.balancers.iter().find(|balancer| balancer.status.balancer == *name);
    match found {
        None => {
            let names: Vec<_> = status.balancers.iter().map(|b| b.status.balancer.as_str()).collect();
            let known = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
            Err(Failure::new(format!("there is no balancer {name}"))
                .detail(format!("balancers that the server knows: {known}"))
                .hint("`tandem status` lists them")
                .code("balancer_not_found"))
        }
        Some(balancer) if balancer.live => {
            Err(Failure::new(format!("the balancer {name} was not removed: it runs and reports"))
                .hint(format!("stop its process first, then type `tandem balancer remove {name}` again"))
                .code("balancer_live"))
        }
        Some(_) => Ok(()),
    }
}
