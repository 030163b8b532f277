//! The node's duties, in one bed: what pods see, how they are watched, how they end, and what leads to them.

#![allow(clippy::unwrap_used, reason = "helpers of tests, outside test functions")]

use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::json;

/// The longest that a state of the cluster may take on a busy machine; command lines have it as a variable.
const PATIENCE: &str = "300s";

/// A bed with a node, in a directory of its own; ended when dropped.
struct Bed {
    tools: PathBuf,
    dir: tempfile::TempDir,
}

impl Bed {
    fn up(tools: PathBuf) -> Bed {
        let bed = Bed { tools, dir: tempfile::tempdir().unwrap() };
        let images = bed.dir.path().join("images.json");
        // As of a checkout in a private directory: pods have users of their own.
        let files = bed.dir.path().join("private/files");
        std::fs::DirBuilder::new().mode(0o700).create(files.parent().unwrap()).unwrap();
        std::fs::create_dir(&files).unwrap();
        std::fs::write(files.join("word"), "of the image\n").unwrap();
        let known = json!({
            "echo-basic": { "program": bed.tools.join("gateway-api-1.7.0/echo-basic") },
            "nats": { "program": bed.tools.join("nats-server-2.15.2/nats-server") },
            "sh": { "program": "/bin/sh", "args": ["-c", "sleep infinity"], "env": { "FILES": files } },
        });
        std::fs::write(&images, known.to_string()).unwrap();
        let up = bed.run("up", &["--images", images.to_str().unwrap()]);
        assert!(up.status.success(), "{}", String::from_utf8_lossy(&up.stderr));
        bed
    }

    fn run(&self, verb: &str, rest: &[&str]) -> Output {
        let mut testbed = Command::new(env!("CARGO_BIN_EXE_testbed"));
        testbed.args([verb, "--name", "node", "--dir"]).arg(self.dir.path()).arg("--tools").arg(&self.tools);
        testbed.args(rest).output().unwrap()
    }

    /// Runs a command line in the cluster's namespaces.
    fn shell(&self, line: &str) -> String {
        let output = self.run("shell", &["--", "sh", "-ec", &format!("PATIENCE={PATIENCE}; {line}")]);
        assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Follows a log until a line has this word in it; gives the log up to there.
    fn log_until(&self, of: &str, word: &str) -> String {
        let follow = format!("timeout $PATIENCE kubectl logs -f {of} > $log & pid=$!");
        let wait = format!("timeout $PATIENCE sh -c 'until grep -q {word} '$log'; do sleep 0.1; done'");
        self.shell(&format!("log=$(mktemp); {follow}; {wait}; kill $pid; cat $log; rm $log"))
    }

    /// Waits until this field of an object has this value.
    fn wait(&self, object: &str, path: &str, value: &str) {
        self.shell(&format!("kubectl wait --for=jsonpath='{{{path}}}'={value} {object} --timeout=$PATIENCE"));
    }
}

impl Drop for Bed {
    fn drop(&mut self) {
        self.run("down", &[]);
    }
}

#[test]
fn duties() {
    let Some(tools) = needs::testbed() else { return };
    let bed = Bed::up(tools);
    let notes = bed.dir.path().join("notes");
    let pods = bed.dir.path().join("pods.yaml");
    std::fs::write(&pods, include_str!("node.yaml").replace("NOTES", notes.to_str().unwrap())).unwrap();
    bed.shell(&format!("kubectl apply -f {}", pods.display()));

    what_a_pod_sees(&bed);
    load_balancer(&bed);
    ways_in(&bed);
    messages(&bed);
    containers_that_fail(&bed);
    the_end_of_a_pod(&bed, &notes);
}

fn what_a_pod_sees(bed: &Bed) {
    bed.shell("kubectl wait --for=condition=Available deployment/web --timeout=$PATIENCE");
    bed.shell("kubectl patch configmap live -p '{\"data\":{\"word\":\"two\"}}'");
    let logs = bed.log_until("deployment/web -c client", "updated");
    let lines: Vec<&str> = logs.lines().collect();
    assert_eq!(lines[..3], ["65532", "made", "of the image"], "{logs}");
    assert!(lines[3].contains("Read-only file system"), "{logs}");
    assert_eq!(lines[4..], ["reached by itself", "by name", "refused 7", "updated"], "{logs}");
    assert_eq!(bed.shell("kubectl logs deployment/web -c client --tail=1"), "updated\n");
}

fn load_balancer(bed: &Bed) {
    bed.wait("service/udp", ".status.loadBalancer.ingress[0].ip", "192.0.2.1");
    bed.shell("kubectl wait --for=condition=Ready pod/udp --timeout=$PATIENCE");
    let ask = "import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.settimeout(1)
s.connect(('192.0.2.1', 53))
for _ in range(300):
    try:
        s.send(b'hello')
        print(s.recv(2000).decode())
        break
    except OSError:
        pass";
    // The rules follow the endpoint a moment after the pod is ready.
    let answer = bed.shell(&format!("python3 -c \"{ask}\""));
    assert!(answer.contains("\"request\":\"hello\""), "{answer}");

    let far = "kubectl get events --field-selector involvedObject.name=far -o jsonpath='{.items[*].message}'";
    bed.shell(&format!(
        "timeout $PATIENCE sh -c 'until {} | grep -q outside; do :; done'",
        far.replace('\'', "\"")
    ));
    assert_eq!(bed.shell("kubectl get service far -o jsonpath='{.status.loadBalancer}'"), "{}");
    let refused = "! curl -s -m 5 http://198.51.100.9/ && ! curl -s -m 5 http://192.0.2.200/ && echo both";
    assert_eq!(bed.shell(refused), "both\n");
    bed.shell("kubectl patch service far -p '{\"spec\":{\"loadBalancerIP\":\"192.0.2.9\"}}'");
    bed.wait("service/far", ".status.loadBalancer.ingress[0].ip", "192.0.2.9");
}

/// By the API server: commands, files and ports, also of the loopback interface.
fn ways_in(bed: &Bed) {
    let pod = bed.shell("kubectl get pods -l app=web -o jsonpath='{.items[0].metadata.name}'");
    let told = bed.shell(&format!(
        "echo in | kubectl exec -i {pod} -c client -- sh -c 'cat; id -u; echo err >&2' 2>&1 | sort"
    ));
    assert_eq!(told, "65532\nerr\nin\n");
    let failed =
        bed.run("shell", &["--", "kubectl", "exec", &pod, "-c", "client", "--", "sh", "-c", "exit 7"]);
    assert_eq!(failed.status.code(), Some(7), "{}", String::from_utf8_lossy(&failed.stderr));
    let copied = bed.shell(&format!(
        "cd $(mktemp -d); dd if=/dev/urandom of=there bs=1k count=300 2>/dev/null
         kubectl cp there {pod}:/work/it -c client
         kubectl cp {pod}:/work/it back -c client >/dev/null; cmp there back && echo same; rm -r $PWD"
    ));
    assert_eq!(copied, "same\n");
    let asked = bed.shell(&format!(
        "cd $(mktemp -d)\n kubectl port-forward {pod} 20080:80 >told 2>&1 & pid=$!
         timeout $PATIENCE sh -c 'until grep -q Forwarding told; do sleep 0.1; done'
         for i in 1 2 3; do curl -s http://127.0.0.1:20080/hello | grep -c '\"path\": \"/hello\"'; done
         kill $pid; rm -r $PWD"
    ));
    assert_eq!(asked, "1\n1\n1\n");
}

/// nats-server greets whoever connects with a line about itself.
fn messages(bed: &Bed) {
    bed.shell("kubectl wait --for=condition=Ready pod/nats --timeout=$PATIENCE");
    let ask = "import socket
print(socket.create_connection(('192.0.2.53', 4222), timeout=1).makefile().readline())";
    // The rules follow the endpoint a moment after the pod is ready.
    let line = bed.shell(&format!(
        "timeout $PATIENCE sh -c 'until python3 -c \"$0\" 2>/dev/null; do :; done' \"{ask}\""
    ));
    assert!(line.starts_with("INFO {") && line.contains("\"jetstream\":true"), "{line}");
}

fn containers_that_fail(bed: &Bed) {
    bed.wait("pod/crash", ".status.containerStatuses[0].state.waiting.reason", "CrashLoopBackOff");
    bed.wait("pod/crash", ".status.containerStatuses[0].lastState.terminated.exitCode", "3");
    assert_eq!(bed.shell("kubectl logs crash --previous"), "last words\n");
    bed.wait("pod/sick", ".status.containerStatuses[0].lastState.terminated.exitCode", "137");
    bed.wait("pod/unknown", ".status.containerStatuses[0].state.waiting.reason", "ErrImagePull");
    let described = bed.shell("kubectl describe pod unknown");
    assert!(described.contains("no program stands for the image \"nobody/knows:v1\""), "{described}");
    bed.wait("job/job", ".status.succeeded", "1");
    assert_eq!(bed.shell("kubectl logs job/job"), "done\n");
}

fn the_end_of_a_pod(bed: &Bed, notes: &Path) {
    bed.shell("kubectl wait --for=condition=Ready pod/polite --timeout=$PATIENCE");
    // Its trap is set once it has said so.
    bed.log_until("polite", "up");
    bed.shell("kubectl delete pod polite --timeout=$PATIENCE");
    let read = |name: &str| std::fs::read_to_string(notes.join(name)).unwrap();
    assert_eq!((read("stop").as_str(), read("end").as_str()), ("stopping\n", "terminated\n"));
    let volumes = bed.dir.path().join("node/0/node/pods");
    let before = std::fs::read_dir(&volumes).unwrap().count();
    bed.shell("kubectl delete pod crash sick unknown --timeout=$PATIENCE");
    assert_eq!(std::fs::read_dir(&volumes).unwrap().count(), before - 3, "their files are gone with them");
}
