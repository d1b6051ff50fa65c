//! S2:start-before-its-predecessor-is-finished, seed 22. Written by `procession replay --emit-test`.

#[test]
fn s2_start_before_its_predecessor_is_finished_seed_22() {
    procession_sim::must_hold(REPORT);
}

const REPORT: &str = r#"procession-failure 1
core 0.1.0
origin sim
mutant 5
verdict S2 start-before-its-predecessor-is-finished
detail key=Some(0) msg=1 partition=0 position=3 epoch=1 at=10000000: msg=Some(0) at position=Some(2) is not
shrunk from 84 faults, 28 messages to 1 faults, 2 messages in 58 runs
seed 22
[config]
order = key
sequence-keys = -
keyless = unordered
partitions = 1
limit-messages = 2
limit-bytes = 4000
limit-partition-messages = 2
limit-partition-bytes = 4000
low-water-percent = 100
key-messages = 5
batch-key = 8
message-bytes-max = 256
window = 64
window-pool = 64
retry-attempts = 2
retry-first = 1000000
retry-max = 1000000
retry-jitter = 0
handler-timeout = max
cancel-grace = 10000000
on-hung = wait
stall-after = 3000000
parked-keys = 0
suspects = 0
on-reset = stop
expired = report
commit-every = 1000000
commit-messages = 1
commit-first = 1000000
commit-max = 1000000
commit-jitter = 0
map-bytes = 0
map-digests = no
dedupe-ids = 0
dedupe-age = 600000000000
letter-first = 1000000
letter-max = 1000000
letter-jitter = 0
session-first = 1000000
session-max = 1000000
session-jitter = 0
jitter-seed = 847374063850459613
[world]
profile = swarm
model = jetstream
members = 1
messages = 2
keys = 1
lanes = 2
heal-at = 10000000
patience = 10000000000
ticks = 0
quantum = 1000000
lease = 600000000
concurrency = 4294967295
batch = 1
beat = 2000000000
crash-at = -
shake-at = -
calm-at = -
audit = no
latency = 1000000
killer = -
[workload]
publish at=0 number=0 identity=0 partition=0 key=0 lane=1 bytes=1 expires=- sequence=- malformed=no poison=no hole=0 trail=0
publish at=0 number=4 identity=4 partition=0 key=0 lane=1 bytes=1 expires=- sequence=- malformed=no poison=no hole=0 trail=0
[faults]
handler-fail 0 1
[inputs]
1000000 m0 start
6000000 m0 open partition=0 epoch=1 frontier=- anchor=- stamp=- map=- recorded=- incarnation=1 log-start=2 log-end=4 until=546000000
6000000 m0 poll cassdlkpwnrfxcasdlkpwnrfxggt
7000000 m0 session partition=0 epoch=1 session=1 found=continues from=-
7000000 m0 poll casdlkpwnrfxgt
9000000 m0 offer partition=0 epoch=1 session=1 delivery=1 position=2 stamp=1 lane=1 key=5692161d100b05e52cfa56b4a2af9298 identity=d9da721bb70d4e94cc5d9f604a30a0c0 bytes=1 expires=- sequence=- quarantine=- message=0
9000000 m0 poll casd
9000000 m0 follow token=4294967296
9000000 m0 poll dlkpwnrfxcasdlkpwnrfxgt
10000000 m0 settle token=4294967296 outcome=retry message=0
10000000 m0 poll casdlkpwnrfxgt
10000000 m0 offer partition=0 epoch=1 session=1 delivery=2 position=3 stamp=2 lane=1 key=5692161d100b05e52cfa56b4a2af9298 identity=18aa0cfb6a5535919c0f699516f39339 bytes=1 expires=- sequence=- quarantine=- message=1
10000000 m0 poll casd
[outputs]
582f7433 aa62ab29 9027e35c a7ef0db0 99c1d9ee 95f97b95 c52df591 42487fcb
ca3fdbca 0b69ef9c aa611da8 01f98fbe 5f3aca58
[digest]
795b64c5e58a8bb1
"#;
