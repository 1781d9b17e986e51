-- Two triggers that emit events in the transaction that causes them: the event is sent if, and only if, the change is
-- committed. Change the names of tables and columns to yours, and run this in the database of DATABASE_URL as the
-- owner of those tables. The role that your application works as needs these rights, and none to any of Tripstream's
-- tables:
--
--     GRANT EXECUTE ON FUNCTION
--         write_platform_event(text, text, text, text, text, jsonb, jsonb, text),
--         emit_platform_event(text, text, text, text, anycompatible, jsonb, jsonb, text),
--         emit_platform_event(text, text, uuid, text, anycompatible, jsonb, jsonb, text),
--         emit_platform_event(text, uuid, text, text, anycompatible, jsonb, jsonb, text) TO your_application;
--
-- Users' ids are text or UUIDs; cast others, as below. Entities' ids are of any type. The last argument,
-- site_id, is left out: 'default'.

-- 1. A booking is paid: its status changes to 'paid', also when it is inserted as such.
--    CREATE TABLE bookings (booking_id bigint PRIMARY KEY, customer_id bigint, status text, price numeric);
CREATE OR REPLACE FUNCTION emit_payment_completed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' OR OLD.status IS DISTINCT FROM NEW.status THEN
        PERFORM public.emit_platform_event(
            'payment.completed', 'transaction', NEW.customer_id::text, 'booking', NEW.booking_id,
            jsonb_build_object('price', NEW.price), jsonb_build_object('emitted_by', TG_NAME));
    END IF;
    RETURN NULL;
END $$;

CREATE OR REPLACE TRIGGER bookings_payment_completed
    AFTER INSERT OR UPDATE OF status ON bookings
    FOR EACH ROW WHEN (NEW.status = 'paid') EXECUTE FUNCTION emit_payment_completed();

-- 2. A review is posted. Its ids are UUIDs.
--    CREATE TABLE reviews (review_id uuid PRIMARY KEY, author_id uuid, stars int);
CREATE OR REPLACE FUNCTION emit_review_posted() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM public.emit_platform_event(
        'review.posted', 'content', NEW.author_id, 'review', NEW.review_id, jsonb_build_object('stars', NEW.stars));
    RETURN NULL;
END $$;

CREATE OR REPLACE TRIGGER reviews_review_posted
    AFTER INSERT ON reviews
    FOR EACH ROW EXECUTE FUNCTION emit_review_posted();
