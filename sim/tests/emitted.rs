//! S2:start-before-its-predecessor-is-finished, seed 1. Written by `procession replay --emit-test`.

#[test]
fn s2_start_before_its_predecessor_is_finished_seed_1() {
    procession_sim::must_hold(REPORT);
}

const REPORT: &str = r#"procession-failure 1
core 0.1.0
origin sim
mutant 5
verdict S2 start-before-its-predecessor-is-finished
detail key=Some(0) msg=1 partition=0 position=2 epoch=1 at=5000000: msg=Some(0) at position=Some(1) is not
shrunk from 93 faults, 105 messages to 0 faults, 2 messages in 63 runs
seed 1
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
key-messages = 2
batch-key = 1
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
stall-after = 1000000
parked-keys = 3
on-reset = stop
expired = run
commit-every = 1000000
commit-messages = 1
commit-first = 1000000
commit-max = 1000000
commit-jitter = 0
map-bytes = 305
dedupe-ids = 0
dedupe-age = 600000000000
letter-first = 1000000
letter-max = 1000000
letter-jitter = 0
session-first = 1000000
session-max = 1000000
session-jitter = 0
jitter-seed = 3489543887616901006
[world]
profile = swarm
model = kafka
members = 1
messages = 2
keys = 19
lanes = 0
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
audit = no
latency = 1000000
[workload]
publish at=0 number=82 identity=82 partition=0 key=0 lane=1 bytes=1 expires=- sequence=- malformed=no poison=yes hole=0 trail=0
publish at=0 number=83 identity=83 partition=0 key=0 lane=1 bytes=1 expires=- sequence=- malformed=no poison=yes hole=0 trail=0
[faults]
[inputs]
1000000 m0 start
1000000 m0 open partition=0 epoch=1 frontier=- anchor=- stamp=- map=- recorded=- incarnation=1 log-start=1 log-end=3 until=-
1000000 m0 poll cassdlkpwnrfxcasdlkpwnrfxggt
2000000 m0 session partition=0 epoch=1 session=1 found=continues from=-
2000000 m0 poll casdlkpwnrfxgt
4000000 m0 offer partition=0 epoch=1 session=1 delivery=- position=1 stamp=1 lane=1 key=5692161d100b05e52cfa56b4a2af9298 identity=58d7d0a52c1c6a98e0988b45efa69459 bytes=1 expires=- sequence=- quarantine=- message=0
4000000 m0 poll casddlkpwnrfxcasdlkpwnrfxgt
5000000 m0 timeout
5000000 m0 poll casdlkpwnnrfxcasdlkpwnrfxgtt
5000000 m0 offer partition=0 epoch=1 session=1 delivery=- position=2 stamp=2 lane=1 key=5692161d100b05e52cfa56b4a2af9298 identity=a850021713a88ef7fffa82154aa9bfe1 bytes=1 expires=- sequence=- quarantine=- message=1
5000000 m0 poll casdlkpwnrfxgt
5000000 m0 settle token=4294967296 outcome=retry message=0
5000000 m0 poll casd
[outputs]
582f7433 aa62ab29 76b2d74a f1046196 bac1d4eb cc5607f0 db4bee74 97ae6b71
75651755 a5f0f4d3 5f1e8017 f3e0619a 6695a7b8
[digest]
2579182c16ef2a74
"#;
