//! Folders that `STATICFILES_DIRS` names and that git did not keep, made before any command of the build runs: most write into
//! them, and some look at the settings.

use tandem_sandbox::{Mount, Network};

use super::make_folder;
use crate::commands::Surroundings;
use crate::recipe::{APP, VENV};
use crate::source::Source;
use crate::workshop::{Call, Workshop};
use crate::{Error, Events};

const FOLDERS: &[u8] = include_bytes!("folders.py");
/// The setting.
const NAME: &str = "STATICFILES_DIRS";

/// Whether the settings speak of it, by the text of the module and of those beside it: a start of Python less where not.
pub(crate) fn are_named(source: &Source, settings: &str) -> bool {
    let path = format!("/{}", settings.replace('.', "/"));
    let is_module = |file: &&String| {
        let file = format!("/{file}");
        let module = file.strip_suffix("/__init__.py").or_else(|| file.strip_suffix(".py"));
        module.is_some_and(|module| module.ends_with(&path))
    };
    let Some(module) = source.files.keys().find(is_module) else { return false };
    let folder = module.rsplit_once('/').map_or("", |(folder, _)| folder);
    let names = source.list(folder).into_iter().map(|(name, _)| crate::source::below(folder, &name));
    names
        .filter(|path| path.ends_with(".py"))
        .any(|path| source.text(&path).is_ok_and(|text| text.is_some_and(|text| text.contains(NAME))))
}

/// Makes those that are missing in what was laid out, and returns them. Settings that cannot be loaded yet name none: what they
/// lack may be what the commands make.
///
/// # Errors
/// It meets a limit of the build.
pub(crate) async fn make(
    shop: &Workshop,
    around: &Surroundings,
    manage: &str,
    events: Events<'_>,
) -> Result<Vec<String>, Error> {
    shop.put_tool("folders.py", FOLDERS)?;
    let mut environment = around.environment();
    for (name, value) in [
        ("PYTHON", format!("{VENV}/bin/python").as_str()),
        ("PYTHONDONTWRITEBYTECODE", "1"),
        ("MANAGE", manage),
        ("TANDEM_BUILD_ROOT", APP),
    ] {
        environment.insert(name.to_owned(), value.to_owned());
    }
    // What settings write when they are loaded (a key, a log) is not to be built.
    let mut mounts = around.mounts(shop);
    mounts[0] = Mount::read_only(shop.work("app"), APP);
    let call = Call {
        what: "looking for the folders of static files",
        command: around.in_work("\"$PYTHON\" \"$TOOLS/folders.py\" \"$TOOLS/folders.json\" \"$MANAGE\""),
        cwd: APP,
        environment,
        mounts,
        network: Network::None,
        is_shown: false,
    };
    if !shop.run(call, events).await?.succeeded() {
        return Ok(Vec::new());
    }
    let named: Vec<String> = serde_json::from_slice(&shop.read_report("folders.json")?).unwrap_or_default();
    let mut made = Vec::new();
    // Packages are npm's to make.
    for folder in named.into_iter().filter(|folder| !folder.split('/').any(|part| part == "node_modules")) {
        if make_folder(shop, &folder)? {
            made.push(folder);
        }
    }
    Ok(made)
}
