//! The same app by a plain script: a virtual environment per release, a symbolic link, HUP to gunicorn.

use std::collections::BTreeMap;
use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tandem_testkit::app_folder::{AppFolder, repository};
use tandem_testkit::program::{Program, Running};
use tandem_testkit::wait::{PATIENCE, within};

use crate::ground::Ground;
use crate::measure::cpu_seconds;
use crate::tandem_side::HOST;
use tandem_testkit::bench::poller::Poller;
use tandem_testkit::bench::progress::say;
use tandem_testkit::bench::record::Record;

/// A site that a script deploys.
#[derive(Debug)]
pub(crate) struct ScriptSide {
    pub(crate) name: &'static str,
    pub(crate) folder: AppFolder,
    site: PathBuf,
    uv: Option<PathBuf>,
    address: SocketAddr,
    gunicorn: Running,
}

impl ScriptSide {
    /// Deploys once and starts gunicorn through the link. With `uv`, packages are installed by it, else by pip.
    pub(crate) fn start(name: &'static str, uv: Option<PathBuf>, ground: &Ground) -> anyhow::Result<Self> {
        say(&format!("starting the plain site: {name}"));
        let folder = AppFolder::guestbook_in(ground.scratch());
        let site = ground.folder().join(if uv.is_some() { "script-uv" } else { "script-pip" });
        fs::create_dir_all(&site).with_context(|| format!("make {}", site.display()))?;
        run_script(&folder, &site, (uv.as_deref(), ground))?;
        let address = free_address()?;
        let gunicorn = start_gunicorn(&site, address, ground.record())?;
        let side = Self { name, folder, site, uv, address, gunicorn };
        let poller = side.poller();
        poller.wait_for("Say hello, leave a line.", Duration::ZERO)?;
        Ok(side)
    }

    /// A visitor of the site.
    pub(crate) fn poller(&self) -> Poller {
        Poller::start(self.address, HOST)
    }

    /// Runs the script.
    pub(crate) fn deploy(&self, ground: &Ground) -> anyhow::Result<()> {
        run_script(&self.folder, &self.site, (self.uv.as_deref(), ground))
    }

    /// The release that the link leads to.
    pub(crate) fn current(&self) -> anyhow::Result<PathBuf> {
        fs::read_link(self.site.join("current")).context("read the link to the current release")
    }

    /// Flips the link and sends HUP, which is all there is to a rollback.
    pub(crate) fn roll_back_to(&self, release: &Path) -> anyhow::Result<()> {
        let next = self.site.join("next");
        std::os::unix::fs::symlink(release, &next).context("make the next link")?;
        fs::rename(&next, self.site.join("current")).context("flip the link")?;
        kill(self.gunicorn.id(), Signal::SIGHUP).context("tell gunicorn")
    }

    /// CPU seconds of gunicorn's workers, by process.
    pub(crate) fn workers(&self) -> BTreeMap<i32, f64> {
        let id = self.gunicorn.id();
        let children = fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap_or_default();
        let ids = children.split_whitespace().filter_map(|id| id.parse::<i32>().ok());
        ids.filter_map(|id| Some((id, cpu_seconds(Pid::from_raw(id))?))).collect()
    }
}

impl Drop for ScriptSide {
    fn drop(&mut self) {
        self.gunicorn.signal(Signal::SIGTERM);
        let _ = within(PATIENCE, || self.gunicorn.ended());
    }
}

fn run_script(folder: &AppFolder, site: &Path, (uv, ground): (Option<&Path>, &Ground)) -> anyhow::Result<()> {
    let script = repository().join("scripts/plain-deploy.sh");
    let program = Program::new(script).arguments([folder.path(), site]).arguments(uv);
    // Its cache lies beside the sites, as Tandem's lies in its data folder, so that links and growth are alike.
    let program = program.set("UV_CACHE_DIR", site.join("cache")).set("TMPDIR", ground.scratch());
    let _ = ground.record().run("the plain script", program)?.expect_success();
    Ok(())
}

fn start_gunicorn(site: &Path, address: SocketAddr, record: &Record) -> anyhow::Result<Running> {
    let current = site.join("current");
    let words = [
        "guestbook.wsgi".to_owned(),
        format!("--chdir={}", current.display()),
        format!("--config={}", current.join("gunicorn.conf.py").display()),
        format!("--bind={address}"),
        "--workers=2".to_owned(),
        format!("--pid={}", site.join("gunicorn.pid").display()),
    ];
    let program = Record::gate().arguments([current.join("venv/bin/gunicorn")]).arguments(words);
    let program = program.set("DATA_DIR", site.join("data")).set("SECRET_KEY", "plain");
    record.start("gunicorn", program.output(&site.join("gunicorn.log")))
}

fn free_address() -> anyhow::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").context("find a free port")?;
    listener.local_addr().context("read the free port")
}
