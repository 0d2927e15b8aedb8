//! One command of git in the sandbox: what it is told, and what it must not find.

use std::collections::BTreeMap;

use tandem_sandbox::run::Outcome;
use tandem_sandbox::{Mount, Network};
use tandem_types::instance::Isolation;

use super::key::KeyPair;
use crate::recipe::APP;
use crate::workshop::{Call, Workshop};

/// Where commands find the bare repository.
const REPOSITORY: &str = "/git";
/// Its name below the app's folder.
pub(crate) const FOLDER: &str = "git";
/// Authorities that the machine trusts, as commands find them in their tools folder.
pub(super) const AUTHORITIES: &str = "ca.pem";
/// Blocks of `ulimit -f`, by POSIX.
const BLOCK_BYTES: u64 = 512;

/// What git is told about itself, whoever's configuration lies about: none is read but this.
const CONFIG: [(&str, &str); 13] = [
    // Of the repository nobody's programs run: it has no hooks, but a hook must not run either.
    ("core.hooksPath", "/dev/null"),
    ("core.fsmonitor", "false"),
    ("core.attributesFile", "/dev/null"),
    ("core.autocrlf", "false"),
    ("core.symlinks", "true"),
    ("credential.helper", ""),
    ("gc.auto", "0"),
    ("maintenance.auto", "false"),
    // One fetch is one file, whose length the kernel limits.
    ("fetch.unpackLimit", "1"),
    ("transfer.unpackLimit", "1"),
    ("http.lowSpeedLimit", "1000"),
    ("http.lowSpeedTime", "60"),
    ("advice.detachedHead", "false"),
];
/// Makes a place for the key that is in memory in a sandbox, and has ssh take this key and no other, know these hosts and
/// no others, and read no configuration.
const TRUST: &str = "\
umask 077
D=$(mktemp -d -p \"$SCRATCH\") || exit 1
trap 'rm -rf \"$D\"' EXIT
printf '%s' \"$DEPLOY_KEY\" >\"$D/key\"
IDENTITY=none
[ -z \"$DEPLOY_KEY\" ] || IDENTITY=$D/key
unset DEPLOY_KEY
cp \"$TOOLS/known_hosts\" \"$D/known_hosts\"
export GIT_SSH_VARIANT=ssh GIT_SSH_COMMAND=\"$SSH -F /dev/null -o IdentityFile=$IDENTITY -o IdentitiesOnly=yes \
-o IdentityAgent=none -o BatchMode=yes -o PreferredAuthentications=publickey -o StrictHostKeyChecking=accept-new \
-o UserKnownHostsFile=$D/known_hosts -o GlobalKnownHostsFile=/dev/null -o HashKnownHosts=no -o UpdateHostKeys=no \
-o CheckHostIP=no -o ConnectTimeout=20 -o ServerAliveInterval=15 -o ServerAliveCountMax=4 -o ClearAllForwardings=yes\"
";
/// What was learned about hosts is handed on also where the command failed.
const HAND_ON: &str = "\ncode=$?\ncp \"$D/known_hosts\" \"$TOOLS/known_hosts.new\" || exit 1\nexit $code\n";

/// What all commands of one fetch have in common.
pub(super) struct Setting<'a> {
    pub(super) shop: &'a Workshop,
    pub(super) git: &'a str,
    /// Empty where there is none, and none is needed.
    pub(super) ssh: &'a str,
    pub(super) key: Option<&'a KeyPair>,
    /// Whether the machine's authorities were put beside the tools.
    pub(super) has_authorities: bool,
    pub(super) isolation: Isolation,
    pub(super) limit_bytes: u64,
}

impl Setting<'_> {
    /// A command that speaks with a server; `variables` are what it is about.
    pub(super) async fn speak(
        &self,
        command: &str,
        variables: &[(&str, &str)],
    ) -> Result<Outcome, crate::Error> {
        let mut environment = self.environment(variables);
        environment.extend(self.way_out());
        let key = self.key.map_or("", |key| key.private.as_str());
        // In a sandbox `/tmp` is in memory; without one the folder goes with the fetch.
        let scratch = if self.isolation == Isolation::Sandbox { "/tmp" } else { tandem_sandbox::spec::HOME };
        for (name, value) in [("SCRATCH", scratch), ("DEPLOY_KEY", key), ("SSH", self.ssh)] {
            environment.insert(name.to_owned(), value.to_owned());
        }
        let blocks = self.limit_bytes.div_ceil(BLOCK_BYTES);
        let command = format!("{TRUST}( ulimit -f {blocks}; {command} ){HAND_ON}");
        self.run(command, environment, Network::Host).await
    }

    /// A command on what was fetched.
    pub(super) async fn look(
        &self,
        command: &str,
        variables: &[(&str, &str)],
    ) -> Result<Outcome, crate::Error> {
        self.run(command.to_owned(), self.environment(variables), Network::None).await
    }

    async fn run(
        &self,
        command: String,
        environment: BTreeMap<String, String>,
        network: Network,
    ) -> Result<Outcome, crate::Error> {
        let mut mounts = self.shop.mounts();
        mounts.push(Mount::writable(self.shop.folder.join(FOLDER), REPOSITORY));
        let what = "fetching the source";
        self.shop
            .run(Call { what, command, cwd: APP, environment, mounts, network, is_shown: false }, &|_| {})
            .await
    }

    fn environment(&self, variables: &[(&str, &str)]) -> BTreeMap<String, String> {
        let own = [
            ("GIT", self.git),
            ("GIT_DIR", REPOSITORY),
            ("GIT_CONFIG_NOSYSTEM", "1"),
            ("GIT_CONFIG_SYSTEM", "/dev/null"),
            ("GIT_CONFIG_GLOBAL", "/dev/null"),
            ("GIT_ATTR_NOSYSTEM", "1"),
            ("GIT_TEMPLATE_DIR", ""),
            ("GIT_ALLOW_PROTOCOL", "https:ssh"),
            ("GIT_PROTOCOL_FROM_USER", "0"),
            ("GIT_TERMINAL_PROMPT", "0"),
            ("GIT_ASKPASS", "/bin/false"),
            ("SSH_ASKPASS", "/bin/false"),
            ("GIT_NO_REPLACE_OBJECTS", "1"),
            ("GIT_NO_LAZY_FETCH", "1"),
            ("GIT_ADVICE", "0"),
            ("LC_ALL", "C"),
        ];
        let text = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let mut environment: BTreeMap<String, String> = own.iter().chain(variables).map(text).collect();
        for (number, (key, value)) in CONFIG.iter().enumerate() {
            environment.insert(format!("GIT_CONFIG_KEY_{number}"), (*key).to_owned());
            environment.insert(format!("GIT_CONFIG_VALUE_{number}"), (*value).to_owned());
        }
        environment.insert("GIT_CONFIG_COUNT".to_owned(), CONFIG.len().to_string());
        environment
    }

    /// Proxies and certificates of the machine; what is about the package index is none of git's business.
    fn way_out(&self) -> BTreeMap<String, String> {
        let settings = self.shop.network().variables().iter();
        let mut way: BTreeMap<String, String> = settings
            .filter(|(name, _)| !name.starts_with("UV_"))
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        if self.has_authorities {
            let path = format!("{}/{AUTHORITIES}", crate::workshop::TOOLS);
            way.insert("GIT_SSL_CAINFO".to_owned(), path.clone());
            way.insert("SSL_CERT_FILE".to_owned(), path);
        }
        way
    }
}
