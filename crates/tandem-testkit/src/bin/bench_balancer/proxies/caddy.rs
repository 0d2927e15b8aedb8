//! Caddy with one processor. It is printed and no part of the aims.

use super::{Order, Words, address_for, pinned};
use crate::ground::{DOMAIN, Ground};
use crate::rows::{Front, Setting};

pub(super) fn words(order: &Order<'_>, ground: &Ground) -> anyhow::Result<Words> {
    let (address, over_tls) = address_for(&order.setting)?;
    let log = order.setting.operated.then(|| ground.folder.join(format!("{}.access", order.name)));
    let access = match &log {
        Some(log) => format!(
            "log {{\n    output file {} {{\n      roll_disabled\n    }}\n    format json\n  }}",
            log.display()
        ),
        None => String::new(),
    };
    let scheme = if over_tls { "https" } else { "http" };
    let tls = match order.setting.front {
        Front::Tls(key) => {
            let (certificate, secret) = ground.certificate(key);
            format!("tls {} {}", certificate.display(), secret.display())
        }
        _ => String::new(),
    };
    // The domain is a matcher, not the site: a site with a port logs only requests whose `Host` has it as well.
    let text = format!(
        "{{
  admin off
  auto_https off
  log default {{
    level ERROR
  }}
  servers {{
    protocols h1 h2 h2c
    timeouts {{
      idle 1000s
    }}
  }}
}}
{scheme}://:{port} {{
  bind 127.0.0.1
  {tls}
  {access}
  @shop host {DOMAIN}
  handle @shop {{
  {handler}
  }}
}}
",
        port = address.port(),
        handler = handler(&order.setting, ground),
    );
    let file = ground.file(&format!("{}.caddyfile", order.name), &text)?;
    let program = pinned(&["caddy", "run", "--adapter", "caddyfile", "--config"]).arguments([&file]);
    let home = ground.folder.join("caddy");
    let program = program.folder(&ground.folder).set("GOMAXPROCS", "1").set("HOME", &home);
    let program = program.set("XDG_DATA_HOME", &home).set("XDG_CONFIG_HOME", &home);
    Ok(Words { program, address, ready: None, log })
}

fn handler(setting: &Setting, ground: &Ground) -> String {
    if setting.folder {
        return format!("root * {}\n  file_server", ground.files().display());
    }
    let headers = if setting.operated {
        "header_up X-Request-Id {http.request.uuid}"
    } else {
        "header_up -X-Forwarded-For\n    header_up -X-Forwarded-Proto\n    header_up -X-Forwarded-Host"
    };
    let answer = if setting.operated { "header X-Request-Id {http.request.uuid}\n  " } else { "" };
    format!(
        "{answer}reverse_proxy {} {{\n    {headers}\n    transport http {{\n      keepalive_idle_conns_per_host 256\n    }}\n  }}",
        ground.backend
    )
}
