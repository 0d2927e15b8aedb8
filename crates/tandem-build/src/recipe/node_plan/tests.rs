//! Which packages of Node's are installed, where, and by whom.

use crate::node::Installer;
use crate::recipe::tests::{code, read};
use crate::recipe::{Install, NodePlan};
use crate::source::below;

/// The plan, commands and notes of an Express app at the top, with more files.
fn express(more: &[(&str, &str)]) -> (NodePlan, Vec<String>, Vec<String>) {
    let package =
        ("package.json", r#"{"scripts": {"start": "node x.js"}, "dependencies": {"express": "5"}}"#);
    let files = [&[package, ("package-lock.json", "{}")], more].concat();
    let recipe = read(&files).unwrap();
    (recipe.node.unwrap(), recipe.commands, recipe.notes)
}

#[test]
fn only_who_installs_in_the_folder_of_the_package_installs_for_it() {
    let client = ("client/package.json", r#"{"dependencies": {"react": "19"}}"#);
    let file = |commands: &str| format!("[build]\ncommands = {commands}\n");
    for (commands, install, left) in [
        (r#"["cd client && npm ci && npm run build"]"#, true, 1),
        (r#"["npm ci", "npm --prefix client ci"]"#, true, 1),
        (r#"["cd client && cd .. && npm ci --omit=dev"]"#, false, 1),
        (r#"["cd server && npm ci --omit=dev"]"#, false, 1),
        (r#"["cd $WHERE && npm ci"]"#, false, 1),
    ] {
        let (plan, commands, _) = express(&[client, ("server/x.js", ""), ("tandem.toml", &file(commands))]);
        assert_eq!(matches!(plan.install, Install::Part(_)), install, "{commands:?}");
        assert_eq!((plan.folder.as_str(), commands.len()), ("", left), "{commands:?}");
    }
}

#[test]
fn packages_of_a_workspace_are_installed_where_it_begins() {
    let top = ("package.json", r#"{"workspaces": ["apps/*", "!apps/old"], "engines": {"node": "20"}}"#);
    let web =
        r#"{"scripts": {"start": "next start", "build": "next build"}, "dependencies": {"next": "15"}}"#;
    let files = |folder: &str| {
        let (package, file) = (format!("apps/{folder}/package.json"), format!("root = \"apps/{folder}\"\n"));
        let files = [top, ("package-lock.json", "{}"), (&package, web), ("tandem.toml", &file)];
        read(&files).unwrap()
    };
    let recipe = files("web");
    let plan = recipe.node.unwrap();
    let install = "cd ../.. && npm ci --include=dev --no-audit --no-fund";
    assert_eq!(
        (plan.install, recipe.commands),
        (Install::Nothing, vec![install.into(), "npm run build".into()])
    );
    assert_eq!(recipe.spec.path, ["/app/apps/web/node_modules/.bin", "/app/node_modules/.bin"]);
    assert_eq!(plan.wanted.said_by, "`engines` of package.json");
    let alone = files("old").node.unwrap();
    assert_eq!((alone.folder.as_str(), alone.install), ("apps/old", Install::Part(Installer::Unlocked)));
    let yarn =
        [top, ("yarn.lock", ""), ("apps/web/package.json", web), ("tandem.toml", "root = \"apps/web\"\n")];
    assert_eq!(code(&yarn), "recipe_unsupported");
}

#[test]
fn packages_that_are_folders_of_the_source_are_linked_and_so_part_of_the_app() {
    for (dependencies, lock, is_part) in [
        (r#"{"x": "file:./x"}"#, "{}", false),
        (r#"{"x": "link:../x"}"#, "{}", false),
        (r#"{"x": "file:x-1.0.tgz"}"#, "{}", true),
        (r#"{"x": "1"}"#, r#"{"packages": {"node_modules/y": {"resolved": "y", "link": true}}}"#, false),
    ] {
        let json = format!(r#"{{"scripts": {{"start": "node x.js"}}, "dependencies": {dependencies}}}"#);
        let recipe = read(&[("package.json", &json), ("package-lock.json", lock)]).unwrap();
        assert_eq!(matches!(recipe.node.unwrap().install, Install::Part(_)), is_part, "{dependencies}");
        assert_eq!(recipe.commands.is_empty(), is_part, "{dependencies}");
    }
}

#[test]
fn scripts_that_run_at_installation_are_told_of() {
    for (script, note) in [
        (r#""prepare": "vite build""#, Some("`prepare` of package.json runs when packages are installed")),
        (r#""prepare": "husky install""#, None),
        (r#""poststart": "x""#, None),
    ] {
        let json = format!(r#"{{"scripts": {{"start": "x", {script}}}, "dependencies": {{"a": "1"}}}}"#);
        let recipe = read(&[("package.json", &json), ("package-lock.json", "{}")]).unwrap();
        assert_eq!(recipe.node.unwrap().runs_scripts, note.is_some(), "{script}");
        let told = recipe.notes.iter().find(|line| line.contains("`[build] commands` (`npm run prepare`)"));
        assert_eq!(
            told.map(|told| told.starts_with(note.unwrap())),
            note.map(|_| true),
            "{:?}",
            recipe.notes
        );
    }
}

#[test]
fn programs_of_packages_and_package_json_in_a_subfolder_count() {
    let package = r#"{"engines": {"node": "20"}, "dependencies": {"serve": "14", "typescript": "5"}}"#;
    let lock = r#"{"packages": {"node_modules/typescript": {"bin": {"tsc": "bin/tsc"}}}}"#;
    let node = |folder: &str, procfile: &str| {
        let (package_path, lock_path) = (below(folder, "package.json"), below(folder, "package-lock.json"));
        read(&[(&package_path, package), (&lock_path, lock), ("Procfile", procfile)]).unwrap().node
    };
    for procfile in ["web: serve -s dist\n", "web: exec tsc --watch\n", "web: node_modules/.bin/serve\n"] {
        assert!(node("", procfile).unwrap().at_run_time, "{procfile}");
    }
    assert_eq!(node("", "web: gunicorn x\n"), None);
    for procfile in ["web: cd front && npm start\n", "web: npm --prefix front start\n"] {
        let plan = node("front", procfile).unwrap();
        assert_eq!(
            (plan.folder.as_str(), plan.mount_point().unwrap().as_str()),
            ("front", "front/node_modules")
        );
        assert_eq!(plan.wanted.said_by, "`engines` of front/package.json");
    }
    let yarn = [("package.json", package), ("yarn.lock", ""), ("Procfile", "web: serve\n")];
    assert_eq!(code(&yarn), "recipe_unsupported");
    for install in ["yarn && yarn build", "bun install", "corepack yarn install --immutable"] {
        let file = format!("[build]\ncommands = [\"{install}\"]\n");
        let recipe = read(&[yarn[0], yarn[1], yarn[2], ("tandem.toml", &file)]).unwrap();
        assert_eq!(recipe.node.unwrap().install, Install::Nothing, "{install}");
    }
}
