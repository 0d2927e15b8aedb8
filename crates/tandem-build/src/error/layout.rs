//! What a source lacks to be understood, in the words people get.

use tandem_types::problem::Problem;

use super::{Error, refused};

impl Error {
    /// Of a source that does not say what it is, or asks for what is not here.
    pub(super) fn to_problem_of_layout(&self) -> Problem {
        match self {
            Self::NoRecipe { apps } => no_recipe(apps),
            Self::NoRoot { folder, said_by, apps } => {
                let title = format!("{said_by} names the folder {folder}, which is not in the source");
                refused("root_missing", title).detail(there_is(apps)).hint(
                    "name a folder below the top of the source, as git spells it; empty and ignored ones are not part of it",
                )
            }
            Self::SeveralApps { folders } => {
                let first = folders.first().map(String::as_str).unwrap_or_default();
                refused("several_apps", "there is more than one Django project, and nothing says which is meant")
                    .detail(there_is(folders))
                    .hint(format!(
                        "type `tandem deploy --root {first}`, or write root = \"{first}\" in a tandem.toml at the top"
                    ))
            }
            Self::NoSettings { found } => {
                let example = found.first().map_or("shop.settings", String::as_str);
                refused("no_settings", "nothing says which settings module this Django project uses")
                    .detail(match found.as_slice() {
                        [] => String::new(),
                        found => format!("there is: {}", found.join(", ")),
                    })
                    .hint(format!("write in tandem.toml, below [build]: settings = \"{example}\""))
            }
            Self::NodeMissing { wanted, said_by, found, tools } => node_missing((wanted, said_by), found, tools),
            Self::NpmMissing { node } => refused("node_missing", format!("there is no npm beside {node}"))
                .hint("apt-get install npm on the server, or take Node's own package, which has it"),
            Self::ForeignNodeLock { path } => {
                refused("recipe_unsupported", format!("{path} is not read by Tandem, which installs with npm")).hint(
                    "type `npm install --package-lock-only` and commit package-lock.json; or install with what you have: \
                     [build] commands = [\"corepack yarn install --immutable\", …] in tandem.toml",
                )
            }
            _ => unreachable!("only these come here"),
        }
    }
}

fn no_recipe(apps: &[String]) -> Problem {
    let problem = refused("no_recipe", "nothing here says how to run this source");
    if let Some(first) = apps.first() {
        return problem.detail(there_is(apps)).hint(format!(
            "name the app's folder: `tandem deploy --root {first}` sends the whole repository, `tandem deploy {first}` \
             that folder alone"
        ));
    }
    problem.hint(
        "add a Procfile with a line such as `web: gunicorn shop.wsgi --bind 127.0.0.1:$PORT`, or deploy a folder with a \
         tandem.toml, a Django manage.py, a Flask or FastAPI app, or a package.json with a start script; is this the right \
         folder?",
    )
}

fn there_is(apps: &[String]) -> String {
    if apps.is_empty() { String::new() } else { format!("apps seem to be in: {}", apps.join(", ")) }
}

fn node_missing((wanted, said_by): (&str, &str), found: &[String], tools: &str) -> Problem {
    let title = match wanted {
        "" => "there is no Node that apps could use".to_owned(),
        _ => format!("there is no Node {wanted}, which {said_by} asks for"),
    };
    let detail = match found {
        [] => "looked for /usr/bin/node and /usr/local/bin/node; what a version manager put into a home folder is not \
               visible to apps"
            .to_owned(),
        _ => format!("there is: {}", found.join(", ")),
    };
    let unpack =
        format!("unpack an archive of nodejs.org into {tools}/NAME, so that {tools}/NAME/bin/node is there");
    let hint = match found {
        [] => format!("on the server: apt-get install nodejs npm, or {unpack}"),
        _ => {
            format!("on the server: {unpack}. Or ask for what is there: [build] node = \"…\" in tandem.toml")
        }
    };
    refused("node_missing", title).detail(detail).hint(hint)
}
