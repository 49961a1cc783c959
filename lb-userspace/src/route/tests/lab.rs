//! Two network namespaces joined by a veth pair, for one test.
//!
//! They belong to a thread of the test's own and vanish with it. `near` is the host under test,
//! with the interface `veth0`; `far` is its neighbour, with `veth1`.

use std::fs::File;
use std::os::fd::AsFd;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use nix::sched::{CloneFlags, setns, unshare};

/// Ethernet addresses of the two ends.
pub(super) const NEAR_MAC: [u8; 6] = [2, 0, 0, 0, 0, 0x0a];
pub(super) const FAR_MAC: [u8; 6] = [2, 0, 0, 0, 0, 0x0b];

/// The two namespaces; the thread that holds it is in the near one.
pub(super) struct Lab {
    near: File,
    far: File,
}

impl Lab {
    /// Runs `test` on a thread in the near namespace, with a runtime of its own: a runtime's
    /// worker threads would be in the namespace of the process.
    ///
    /// Without the right to make namespaces it says so and tests nothing.
    pub(super) fn run(test: impl AsyncFnOnce(&Lab) + Send + 'static) {
        let body = move || {
            let Some(lab) = Self::new() else { return };
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(test(&lab));
        };
        if let Err(panic) = thread::spawn(body).join() {
            std::panic::resume_unwind(panic);
        }
    }

    fn new() -> Option<Self> {
        if let Err(error) = unshare(CloneFlags::CLONE_NEWNET) {
            eprintln!("skipped: a network namespace cannot be made ({error}): run as root");
            return None;
        }
        let far = current();
        unshare(CloneFlags::CLONE_NEWNET).unwrap();
        let lab = Self {
            near: current(),
            far,
        };
        lab.far("link add veth1 address 02:00:00:00:00:0b type veth peer name veth0");
        lab.far(&format!("link set veth0 netns {}", lab.near_path()));
        // Without generated addresses there is no duplicate detection to wait for.
        lab.near("link set veth0 addrgenmode none address 02:00:00:00:00:0a mtu 1400 up");
        lab.far("link set veth1 addrgenmode none mtu 1400 up");
        lab.near("link set lo up");
        lab.near("address add 10.0.0.1/24 dev veth0");
        lab.near("address add 2001:db8::1/64 dev veth0 nodad");
        lab.near("address add fe80::1/64 dev veth0 nodad");
        lab.far("address add 10.0.0.2/24 dev veth1");
        lab.far("address add 2001:db8::2/64 dev veth1 nodad");
        lab.far("address add fe80::2/64 dev veth1 nodad");
        lab.wait_for_local_route("2001:db8::1");
        Some(lab)
    }

    /// Waits until the kernel has the route to an IPv6 address of the near side's own, which it lays
    /// some time after the address is there.
    #[expect(clippy::unused_self, reason = "as below")]
    fn wait_for_local_route(&self, address: &str) {
        let is_there = || {
            let mut command = Command::new("ip");
            let output = command.args(["-6", "route", "get", address]).output();
            output.unwrap().stdout.starts_with(b"local ")
        };
        let deadline = Instant::now() + Duration::from_secs(2);
        while !is_there() {
            assert!(Instant::now() < deadline, "{address} has no local route");
        }
    }

    fn near_path(&self) -> String {
        use std::os::fd::AsRawFd;
        format!("/proc/{}/fd/{}", std::process::id(), self.near.as_raw_fd())
    }

    /// Runs `ip` with these words on the near side.
    #[expect(
        clippy::unused_self,
        reason = "only a thread that holds the lab is in it"
    )]
    pub(super) fn near(&self, words: &str) {
        let status = Command::new("ip")
            .args(words.split_whitespace())
            .status()
            .unwrap();
        assert!(status.success(), "ip {words}");
    }

    /// Runs `ip` with these words on the far side.
    pub(super) fn far(&self, words: &str) {
        setns(self.far.as_fd(), CloneFlags::CLONE_NEWNET).unwrap();
        self.near(words);
        setns(self.near.as_fd(), CloneFlags::CLONE_NEWNET).unwrap();
    }
}

/// The namespace of this thread.
fn current() -> File {
    File::open("/proc/thread-self/ns/net").unwrap()
}
