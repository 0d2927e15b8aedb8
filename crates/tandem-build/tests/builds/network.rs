//! What code of packages reaches while they are installed, and what it sees of the administrator's settings.

use std::net::TcpListener;

use crate::bench::Bench;
use crate::index::{Index, PASSWORD, has_packet_rules};

/// A backend that tells what it sees, and builds nothing.
fn spy(port: u16) -> String {
    format!(
        "import os, socket\n\
         def build_wheel(*arguments):\n\
         \x20   print('settings', os.environ.get('UV_INDEX_URL'))\n\
         \x20   try: socket.create_connection(('127.0.0.1', {port}), 5); print('database reached')\n\
         \x20   except ConnectionRefusedError: print('database refused')\n\
         \x20   raise SystemExit('it breaks')\n"
    )
}

async fn bench(backend: &str, requirements: &str) -> Bench {
    let index = Index::start(backend).await;
    let network = [("UV_INDEX_URL".to_owned(), index.url)].into_iter().collect();
    let bench = Bench::with(|config| config.network = network).await;
    bench.write("Procfile", "web: python -m http.server\n");
    bench.write("requirements.txt", requirements);
    bench
}

fn holds_password(bench: &Bench) -> bool {
    bench.lines().iter().any(|line| line.contains(PASSWORD))
}

#[tokio::test]
async fn the_password_of_an_index_meets_no_code_of_packages_that_need_none() {
    let bench = bench("", "wheel==1.0\n").await;
    let build = bench.build().await.unwrap();
    assert_eq!(bench.note("dependencies"), "1 package");
    assert!(build.warnings.iter().all(|warning| !warning.contains("credentials")), "{:?}", build.warnings);
    assert!(bench.lines().iter().any(|line| line.contains("wheel==1.0")), "{:?}", bench.lines());
    assert!(!holds_password(&bench));
}

#[tokio::test]
async fn a_package_that_must_be_built_sees_the_password_and_people_are_told_without_it() {
    let database = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = database.local_addr().unwrap().port();
    let bench = bench(&spy(port), "wheel==1.0\nsource==1.0\n").await;
    let problem = bench.build().await.unwrap_err().to_problem();
    assert_eq!(problem.title, "the dependency source==1.0 does not build", "{problem:?}");
    assert!(problem.detail.contains("settings http://****@127.0.0.1:"), "{problem:?}");
    assert!(!problem.detail.contains(PASSWORD) && !holds_password(&bench), "{problem:?}");
    let told = "index credentials are visible to build scripts of 1 source distribution: source==1.0;";
    assert!(bench.warnings().iter().any(|warning| warning.starts_with(told)), "{:?}", bench.warnings());
    if has_packet_rules() {
        assert!(problem.detail.contains("database refused"), "{problem:?}");
    }
}

#[tokio::test]
async fn a_cache_of_downloads_that_is_over_its_limit_is_made_smaller() {
    let index = Index::start("").await;
    let network: tandem_build::NetworkSettings =
        [("UV_INDEX_URL".to_owned(), index.url)].into_iter().collect();
    let mut sizes = Vec::new();
    for limit in [1 << 30, 128 << 10] {
        let network = network.clone();
        let bench = Bench::with(|config| {
            config.network = network;
            config.uv_cache_bytes = limit;
        })
        .await;
        bench.write("Procfile", "web: python -m http.server\n");
        bench.write("requirements.txt", "wheel==1.0\n");
        bench.build().await.unwrap();
        sizes.push(bench.uv_cache_bytes());
        // The next installation starts from what is left.
        bench.write("requirements.txt", "wheel\n");
        bench.build().await.unwrap();
    }
    assert!(sizes[0] > 300_000 && sizes[1] <= 128 << 10, "{sizes:?}");
}
