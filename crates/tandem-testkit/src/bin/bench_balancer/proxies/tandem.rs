//! Ours: `tandem balancer --routes` with one thread.

use anyhow::Context as _;

use super::{Order, Words, address_for, pinned};
use crate::ground::{DOMAIN, Ground};
use crate::rows::{Front, Setting};

pub(super) fn words(order: &Order<'_>, ground: &Ground) -> anyhow::Result<Words> {
    let log = order.setting.operated.then(|| ground.folder.join(format!("{}.access", order.name)));
    let table = ground.file(&format!("{}.toml", order.name), &routes(&order.setting, ground))?;
    let ready = ground.folder.join(format!("{}.ready", order.name));
    // What an earlier round's said must not be taken for this one's.
    let _ = std::fs::remove_file(&ready);
    let (address, over_tls) = address_for(&order.setting)?;
    let binary = order.binary.to_str().context("the binary's path is text")?;
    let address_text = address.to_string();
    let listen: &[&str] = if over_tls {
        &["--http", "127.0.0.1:0", "--https", &address_text]
    } else {
        &["--http", &address_text]
    };
    let program = pinned(&[binary, "balancer", "--threads", "1", "--routes"]).arguments([&table]);
    let program = program.arguments(listen).arguments(["--ready-file".as_ref(), ready.as_os_str()]);
    let program = match &log {
        Some(log) => program.arguments(["--access-log".as_ref(), log.as_os_str()]),
        None => program,
    };
    let program = program.folder(&ground.folder).set("TANDEM_DATA", ground.folder.join("tandem"));
    Ok(Words { program, address, ready: Some(ready), log })
}

fn routes(setting: &Setting, ground: &Ground) -> String {
    let to = if setting.folder {
        format!("folder = \"{}\"", ground.files().display())
    } else {
        format!("targets = [\"http://{}\"]\nforwarded = {}", ground.backend, setting.operated)
    };
    let route = |domain: &str| format!("[[route]]\ndomain = \"{domain}\"\n{to}\n\n");
    let others = setting.domains - 1;
    let other = |number: usize| route(&format!("site-{number:05}.example"));
    let mut text: String = (0..others / 2).map(other).collect();
    text.push_str(&route(DOMAIN));
    text.extend((others / 2..others).map(other));
    if let Front::Tls(key) = setting.front {
        let (certificate, secret) = ground.certificate(key);
        let (certificate, secret) = (certificate.display(), secret.display());
        text.push_str(&format!(
            "[[certificate]]\ndomains = [\"{DOMAIN}\"]\ncert = \"{certificate}\"\nkey = \"{secret}\"\n\n"
        ));
    }
    text
}
