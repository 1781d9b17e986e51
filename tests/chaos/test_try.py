import pytest
from uuid import UUID
from schema import db
from tests.chaos.queue import Queue
from tests.chaos.traffic import SPOILS, canonical
from schema.event import Batch,new_id,now
@pytest.mark.parametrize("spoil", SPOILS)
def test_x(queue, spoil):
    w=queue.traffic.event(); at=now()
    queue.append(Batch(site_id="default",batch_id=new_id(at),received_at=at,events=[canonical(w,**spoil)]))
    queue.drain_all()
    with db.connect(queue.settings) as c:
        print(spoil, c.execute("select position, trip_id, occurred_at, path from events").fetchall(), c.execute("select reason, sqlstate from dead_letters").fetchall())
