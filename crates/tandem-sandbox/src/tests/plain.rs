//! Commands without isolation.

use tandem_types::instance::Isolation;

use super::harness::{Place, run_spec};
use crate::{Mount, cgroup};

#[tokio::test]
async fn a_plain_command_finds_its_folders_where_they_really_are() {
    let place = Place::new();
    let mut spec = place.spec("pwd; echo $PATH; echo $VIRTUAL_ENV; echo $HOME; echo $TEXT");
    spec.isolation = Isolation::Plain;
    let library = place.path().join("lib");
    std::fs::create_dir_all(&library).unwrap();
    std::fs::create_dir_all(place.path().join("app/.venv")).unwrap();
    spec.mounts.push(Mount::read_only(&library, "/app/.venv"));
    for (name, value) in
        [("PATH", "/app/.venv/bin:/usr/bin:/bin"), ("VIRTUAL_ENV", "/app/.venv"), ("TEXT", "/applause /app")]
    {
        spec.environment.insert(name.to_owned(), value.to_owned());
    }
    let outcome = run_spec(spec).await;
    let (root, library) = (place.path().display(), library.display());
    assert_eq!(
        outcome.last_lines,
        [
            format!("{root}/app"),
            format!("{library}/bin:/usr/bin:/bin"),
            library.to_string(),
            format!("{root}/home"),
            "/applause /app".to_owned()
        ]
    );
}

#[tokio::test]
async fn what_a_plain_command_leaves_behind_is_killed_with_it() {
    let place = Place::new();
    let mut spec = place.spec("sleep 1000 & echo $!");
    spec.isolation = Isolation::Plain;
    let outcome = run_spec(spec).await;
    let left: i32 = outcome.last_lines[0].parse().unwrap();
    let alive = crate::process::Stat::of(left).is_some_and(|stat| stat.lives());
    assert!(!alive, "{left} lives on");
    assert_eq!(cgroup::list(&place.cgroup_parent).unwrap(), [""; 0]);
}
