//! S1:two-of-a-key, seed 9. Written by `procession replay --emit-test`.

#[test]
fn s1_two_of_a_key_seed_9() {
    procession_sim::must_hold(REPORT);
}

const REPORT: &str = r#"procession-failure 1
core 0.1.0
origin sim
mutant 5
verdict S1 two-of-a-key
detail key=Some(2) msg=2 partition=1 position=2 epoch=1 at=220000000
shrunk from 113 faults, 28 messages to 3 faults, 3 messages in 106 runs
seed 9
[config]
order = key
sequence-keys = -
keyless = unordered
partitions = 2
limit-messages = 1
limit-bytes = 4000
limit-partition-messages = 1
limit-partition-bytes = 4000
low-water-percent = 100
key-messages = 4294967295
batch-key = 1
message-bytes-max = 256
window = 64
window-pool = 128
retry-attempts = 2
retry-first = 1000000
retry-max = 1000000
retry-jitter = 0
handler-timeout = 76000000
cancel-grace = 10000000
on-hung = wait
stall-after = 962000000
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
jitter-seed = 9507180871026524433
[world]
profile = swarm
model = kafka
members = 1
messages = 3
keys = 3
lanes = 0
heal-at = 300000000
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
publish at=107000000 number=13 identity=13 partition=0 key=2 lane=3 bytes=1 expires=- sequence=- malformed=no poison=no hole=0 trail=0
publish at=136000000 number=14 identity=14 partition=1 key=1 lane=2 bytes=1 expires=- sequence=- malformed=no poison=no hole=0 trail=0
publish at=145000000 number=19 identity=19 partition=1 key=2 lane=3 bytes=1 expires=- sequence=- malformed=no poison=no hole=0 trail=0
[faults]
handler-hang 13 1
handler-hang 13 2
handler-hang 14 1
[inputs]
1000000 m0 start
1000000 m0 set-weight partition=0 weight=1
1000000 m0 set-weight partition=0 weight=0
1000000 m0 set-weight partition=2 weight=1
1000000 m0 set-weight partition=1 weight=1
1000000 m0 set-weight partition=1 weight=0
1000000 m0 set-weight partition=2 weight=1
6000000 m0 open partition=1 epoch=1 frontier=- anchor=- stamp=- map=- recorded=- incarnation=1 log-start=1 log-end=1 until=-
6000000 m0 poll cassdlkpwnrfxcasdlkpwnrfxt
6000000 m0 open partition=0 epoch=1 frontier=- anchor=- stamp=- map=- recorded=- incarnation=1 log-start=3 log-end=3 until=-
6000000 m0 poll cassdlkpwnrfxcasdlkpwnrfxt
7000000 m0 session partition=1 epoch=1 session=1 found=continues from=-
7000000 m0 poll casdlkpwnrfxt
7000000 m0 session partition=0 epoch=1 session=1 found=continues from=-
7000000 m0 poll casdlkpwnrfxt
109000000 m0 offer partition=0 epoch=1 session=1 delivery=- position=3 stamp=1 lane=3 key=1e535eede31428f0cff0446243756e89 identity=c2ebe7faf87246d7f7857fb0590e88c bytes=1 expires=- sequence=- quarantine=- message=0
109000000 m0 poll casddlkpwnrfxcasdlkpwnrfxt
138000000 m0 offer partition=1 epoch=1 session=1 delivery=- position=1 stamp=2 lane=2 key=dbd238973a2b148ae309713ce13e0797 identity=400c4460a9e38450f9dc9b539596a75 bytes=1 expires=- sequence=- quarantine=- message=1
138000000 m0 poll casddlkpwnrfxcasdlkpwnrfxt
147000000 m0 offer partition=1 epoch=1 session=1 delivery=- position=2 stamp=3 lane=3 key=1e535eede31428f0cff0446243756e89 identity=d708935363a6f30b7a2c96d80ee4590a bytes=1 expires=- sequence=- quarantine=- message=2
147000000 m0 poll casdlkpwnrffxcasdlkpwnrfxt
186000000 m0 timeout
186000000 m0 poll ccasdlkpwnrfxcasdlkpwnrfxtt
187000000 m0 settle token=4294967296 outcome=cancelled message=0
187000000 m0 poll casdlkpwnrfxt
188000000 m0 timeout
188000000 m0 poll casddlkpwnrfxcasdlkpwnrfxtt
196000000 m0 timeout
196000000 m0 poll casdlkpwnrfxtt
196000000 m0 timeout
196000000 m0 poll t
215000000 m0 timeout
215000000 m0 poll ccasdlkpwnrfxcasdlkpwnrfxtt
215000000 m0 timeout
215000000 m0 poll t
216000000 m0 settle token=4294967297 outcome=cancelled message=1
216000000 m0 poll casdlkpwnrfxt
217000000 m0 timeout
217000000 m0 poll casddlkpwnrfxcasdlkpwnrfxtt
218000000 m0 settle token=8589934593 outcome=done message=1
218000000 m0 poll casdlkpwwnrffxcasdlkpwnrfxt
220000000 m0 offer partition=1 epoch=1 session=1 delivery=- position=2 stamp=3 lane=3 key=1e535eede31428f0cff0446243756e89 identity=d708935363a6f30b7a2c96d80ee4590a bytes=1 expires=- sequence=- quarantine=- message=2
220000000 m0 poll casd
[outputs]
582f7433 b0ba1fef 623b9e0a 78dead17 58241d8e 5e2cfe19 7e4af63f 390a062f
85ab5bc6 3245dfa7 3222a0ea cab77703 a0a81472 ec5c4417 494bd4a8 5ddd26e4
d25479fb cb28eff5 3870cf88 9d61b106 b1e2325b 6e066464 85eccbf6 84c14834
1a6cb22e fe2710d1 ddf332a7 73dff120 bbba264b 47485f33 57c63d6d dc9c228a
f27d3a09 fba86f56 1c240f3f 7e8cf288 a9cf1891 dbc6442b 63733e55 abd43f3a
a0e42667 29826aec 43226651
[digest]
cc7c4da8c8f0b03e
"#;
