//! `/etc` as a sandbox sees it: a few files of the host, and its own users.

use std::fmt::Write as _;

use crate::Spec;
use crate::spec::HOME;

/// Files and folders of the host's `/etc` that programs need to find names, certificates, libraries and types. No
/// passwords, no keys, no configuration of the host's services.
pub(super) const SHARED: &[&str] = &[
    "alternatives",
    "ca-certificates",
    "ca-certificates.conf",
    "fonts",
    "gai.conf",
    "host.conf",
    "ld.so.cache",
    "ld.so.conf",
    "ld.so.conf.d",
    "localtime",
    "mime.types",
    "nsswitch.conf",
    "pki",
    "protocols",
    "resolv.conf",
    "services",
    "ssl",
    "timezone",
];

/// Without an entry of its own user `getpwuid` fails, and with it much of what looks up a home folder.
pub(super) fn passwd(spec: &Spec) -> String {
    let (name, uid) = (&spec.user.name, spec.user.uid);
    format!(
        "root:x:0:0:root:/root:/usr/sbin/nologin\n\
         {name}:x:{uid}:{uid}:{name}:{HOME}:/bin/sh\n\
         nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n"
    )
}

pub(super) fn group(spec: &Spec) -> String {
    format!("root:x:0:\n{}:x:{}:\nnogroup:x:65534:\n", spec.user.name, spec.user.uid)
}

/// The host's own names and the sandbox's: a program that looks up its own host name must not wait for a name server.
pub(super) fn hosts(spec: &Spec) -> String {
    let mut text =
        std::fs::read_to_string("/etc/hosts").unwrap_or_else(|_| "127.0.0.1 localhost\n".to_owned());
    if !text.ends_with('\n') {
        text.push('\n');
    }
    writeln!(text, "127.0.0.1 {}", spec.hostname).expect("writing to a string cannot fail");
    text
}
