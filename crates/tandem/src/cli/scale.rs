//! `tandem scale web=3 worker=2`: other numbers of instances; without arguments, the numbers as they are.

use std::collections::BTreeMap;
use std::str::FromStr;

use tandem_types::ProcessType;
use tandem_types::api::{AppSummary, EnvironmentSummary, RolloutAction, StartRollout};

use crate::exit::Exit;
use crate::failure::Failure;
use crate::follow::Until;
use crate::output::Table;
use crate::session::Session;

use super::rollout::Start;

/// Arguments of `scale`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The numbers hold over deploys until they are changed here again; `instances` in tandem.toml is only
for the first deploy. Only the difference is started or stopped.

Examples:
  tandem scale                      show the numbers
  tandem scale web=3 worker=2       three web instances, two workers
  tandem scale worker=0             no workers for now")]
pub(crate) struct Args {
    /// Process type and number of instances
    #[arg(value_name = "PROCESS=NUMBER")]
    numbers: Vec<Number>,
}

/// `web=3`.
#[derive(Debug, Clone)]
struct Number {
    process: ProcessType,
    instances: u32,
}

impl FromStr for Number {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let (process, number) = text.split_once('=').ok_or("expected PROCESS=NUMBER, such as web=3")?;
        let process: ProcessType =
            process.parse().map_err(|e: tandem_types::ids::ParseError| e.to_string())?;
        let instances =
            number.parse().map_err(|_| format!("expected a whole number from 0 on, such as {process}=3"))?;
        Ok(Self { process, instances })
    }
}

pub(super) async fn run(args: Args, session: &Session) -> Result<Exit, Failure> {
    let begun = session.clock.monotonic();
    let place = session.place().await?;
    if args.numbers.is_empty() {
        let app: AppSummary = session.client()?.get(&format!("/v1/apps/{}", place.app)).await?;
        return show(session, app.environments.into_iter().find(|e| e.name == place.environment));
    }
    let scale: BTreeMap<_, _> = args.numbers.into_iter().map(|n| (n.process, n.instances)).collect();
    let request = StartRollout {
        action: RolloutAction::Scale { scale },
        message: session.global.reason(),
        no_wait: session.global.no_wait,
    };
    super::rollout::start(session, Start { place, request, begun, until: Until::Flip }).await
}

fn show(session: &Session, environment: Option<EnvironmentSummary>) -> Result<Exit, Failure> {
    let wanted = environment.as_ref().map(|e| e.wanted.clone()).unwrap_or_default();
    session.output.show(&wanted, |wanted| {
        let mut table = Table::new(&["PROCESS", "WANTED", "READY"]);
        for (process, number) in wanted {
            let ready = environment.as_ref().and_then(|e| e.ready.get(process)).copied().unwrap_or_default();
            table.row([process.into(), number.into(), ready.into()]);
        }
        table.render(session.output.data_style(), "nothing runs here yet; type `tandem deploy`")
    })?;
    Ok(Exit::Done)
}
