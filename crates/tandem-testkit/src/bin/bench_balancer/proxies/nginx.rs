//! nginx with one worker, set up as people do who measure it: kept connections to the backend, no limit on requests of a
//! connection, `sendfile` with the cache of open files. Its worker is root where the benchmark is, so that it reads the files wherever
//! they lie.

use super::{Order, Words, address_for, pinned};
use crate::ground::{DOMAIN, Ground};
use crate::rows::{Front, Setting};

pub(super) fn words(order: &Order<'_>, ground: &Ground) -> anyhow::Result<Words> {
    let (address, _) = address_for(&order.setting)?;
    let log = order.setting.operated.then(|| ground.folder.join(format!("{}.access", order.name)));
    let access = match &log {
        // Lines are collected, as ours are: one write for each would be nginx's slower way.
        Some(log) => format!(
            "log_format operated '$remote_addr - $remote_user [$time_local] \"$request\" $status $body_bytes_sent \
             \"$http_referer\" \"$http_user_agent\" $host $request_id $request_time $upstream_response_time';\n  \
             access_log {} operated buffer=64k flush=1s;",
            log.display()
        ),
        None => "access_log off;".to_owned(),
    };
    let (folder, name, backend) = (ground.folder.display(), &order.name, ground.backend);
    let listen = listen(&order.setting, ground, &address.to_string());
    let location = location(&order.setting, ground);
    let text = format!(
        "user root; worker_processes 1; daemon off; pid {folder}/{name}.pid; error_log {folder}/{name}.err;
worker_rlimit_nofile 12000;
events {{ worker_connections 11000; }}
http {{
  {access}
  keepalive_requests 1000000000; keepalive_timeout 1000;
  sendfile on; tcp_nopush on; open_file_cache max=100;
  client_body_temp_path {folder}/{name}-body; proxy_temp_path {folder}/{name}-proxy;
  fastcgi_temp_path {folder}/{name}-fastcgi; uwsgi_temp_path {folder}/{name}-uwsgi; scgi_temp_path {folder}/{name}-scgi;
  upstream app {{ server {backend}; keepalive 256; keepalive_requests 1000000000; }}
  server {{
    {listen}
    server_name {DOMAIN};
    location / {{ {location} }}
  }}
}}
"
    );
    let file = ground.file(&format!("{name}.conf"), &text)?;
    let program = pinned(&["nginx", "-c"]).arguments([&file]).folder(&ground.folder);
    Ok(Words { program, address, ready: None, log })
}

fn listen(setting: &Setting, ground: &Ground, address: &str) -> String {
    match setting.front {
        Front::Plain => format!("listen {address} backlog=4096;"),
        Front::PlainHttp2 => format!("listen {address} http2 backlog=4096;"),
        Front::Tls(key) => {
            let (certificate, secret) = ground.certificate(key);
            let (certificate, secret) = (certificate.display(), secret.display());
            format!(
                "listen {address} ssl http2 backlog=4096; ssl_protocols TLSv1.2 TLSv1.3;\n    \
                 ssl_certificate {certificate}; ssl_certificate_key {secret};"
            )
        }
    }
}

fn location(setting: &Setting, ground: &Ground) -> String {
    if setting.folder {
        return format!("root {};", ground.files().display());
    }
    let mut text = "proxy_pass http://app; proxy_http_version 1.1; proxy_set_header Connection \"\"; \
                    proxy_set_header Host $host; proxy_buffer_size 16k; proxy_buffers 8 16k;"
        .to_owned();
    if setting.operated {
        text.push_str(
            " proxy_set_header X-Request-Id $request_id; proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for; \
             proxy_set_header X-Forwarded-Proto $scheme; proxy_set_header X-Forwarded-Host $host; \
             add_header X-Request-Id $request_id;",
        );
    }
    text
}
