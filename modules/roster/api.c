/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/*
 * Category roster of the GraphQL API. A request is a list of tasks, each a few steps on rosters: what the list of an answer tells of each
 * task alone. Subscriptions are presence that the user sends (RFC 6121 §3), so clients and contacts see what they always see.
 */
#include "config.h"

#include <meerkat/graphql_user.h>

#include "internal.h"

#define TASKS_MAX 10000

static const char shared_sdl[] =
    "\"Who sees whose presence, seen from the user\" enum ContactSub { NONE BOTH FROM TO }\n"
    "\"Requests that wait: IN, the contact asked; OUT, the user asked\" enum ContactAsk { SUBSCRIBE UNSUBSCRIBE IN OUT BOTH NONE }\n"
    "\"Ask to see the presence of a contact, let one see yours, refuse or end that, see it no more\"\n"
    "enum SubAction { INVITE ACCEPT DECLINE CANCEL }\n"
    "type Contact { jid: JID! name: String groups: [String!] subscription: ContactSub ask: ContactAsk }\n"
    "input ContactInput { jid: JID! name: String! groups: [String!] }\n";

static const char admin_sdl[] =
    "extend type AdminQuery { \"Contacts of users\" roster: RosterAdminQuery }\n"
    "extend type AdminMutation { \"Contacts of users\" roster: RosterAdminMutation }\n"
    "enum MutualSubAction { CONNECT DISCONNECT }\n"
    "\"Contacts of users\"\n"
    "type RosterAdminQuery @protected {\n"
    "  \"The contacts of a user\" listContacts(user: JID!): [Contact!] @protected(type: DOMAIN, args: [\"user\"])\n"
    "  \"One contact of a user\" getContact(user: JID!, contact: JID!): Contact @protected(type: DOMAIN, args: [\"user\"])\n"
    "}\n"
    "\"Contacts of users\"\n"
    "type RosterAdminMutation @protected {\n"
    "  \"Add a contact, without subscriptions\"\n"
    "  addContact(user: JID!, contact: JID!, name: String, groups: [String!]): String\n"
    "    @protected(type: DOMAIN, args: [\"user\"])\n"
    "  \"Add contacts, without subscriptions\"\n"
    "  addContacts(user: JID!, contacts: [ContactInput!]!): [String]! @protected(type: DOMAIN, args: [\"user\"])\n"
    "  \"Change the subscription between a user and a contact\"\n"
    "  subscription(user: JID!, contact: JID!, action: SubAction!): String @protected(type: DOMAIN, args: [\"user\"])\n"
    "  \"Remove a contact, and the subscriptions with it\"\n"
    "  deleteContact(user: JID!, contact: JID!): String @protected(type: DOMAIN, args: [\"user\"])\n"
    "  \"Remove contacts\"\n"
    "  deleteContacts(user: JID!, contacts: [JID!]!): [String]! @protected(type: DOMAIN, args: [\"user\"])\n"
    "  \"Let two users see each other, or be strangers\"\n"
    "  setMutualSubscription(userA: JID!, userB: JID!, action: MutualSubAction!): String\n"
    "    @protected(type: DOMAIN, args: [\"userA\", \"userB\"])\n"
    "  \"Let a user and each of the others see each other\"\n"
    "  subscribeToAll(user: ContactInput!, contacts: [ContactInput!]!): [String]!\n"
    "    @protected(type: DOMAIN, args: [\"user.jid\"])\n"
    "  \"Let all of these users see each other\"\n"
    "  subscribeAllToAll(contacts: [ContactInput!]!): [String]! @protected(type: DOMAIN, args: [\"contacts.jid\"])\n"
    "}\n";

static const char user_sdl[] =
    "extend type UserQuery { \"Your contacts\" roster: RosterUserQuery }\n"
    "extend type UserMutation { \"Your contacts\" roster: RosterUserMutation }\n"
    "\"Your contacts\"\n"
    "type RosterUserQuery @protected {\n"
    "  \"Your contacts\" listContacts: [Contact!]\n"
    "  \"One contact\" getContact(contact: JID!): Contact\n"
    "}\n"
    "\"Your contacts\"\n"
    "type RosterUserMutation @protected {\n"
    "  \"Add a contact, without subscriptions\" addContact(contact: JID!, name: String, groups: [String!]): String\n"
    "  \"Add contacts, without subscriptions\" addContacts(contacts: [ContactInput!]!): [String]!\n"
    "  \"Change the subscription between you and a contact\" subscription(contact: JID!, action: SubAction!): String\n"
    "  \"Remove a contact, and the subscriptions with it\" deleteContact(contact: JID!): String\n"
    "  \"Remove contacts\" deleteContacts(contacts: [JID!]!): [String]!\n"
    "}\n";

/* -- reading ---------------------------------------------------------------------------------- */

static const char *
ask_of(unsigned flags)
{
    if ((flags & MK_ROSTER_ASK) && (flags & MK_ROSTER_PENDING_IN))
        return "BOTH";
    if (flags & MK_ROSTER_ASK)
        return "OUT";
    return flags & MK_ROSTER_PENDING_IN ? "IN" : "NONE";
}

static json_t *
contact_object(const struct mk_roster_item *item)
{
    static const char *const subscriptions[] = {
        [MK_SUB_NONE] = "NONE", [MK_SUB_TO] = "TO", [MK_SUB_FROM] = "FROM", [MK_SUB_BOTH] = "BOTH"};
    struct mk_str jid = mk_jid_text(item->jid);
    json_t *groups = json_array();

    for (size_t i = 0; i < item->group_count; i++)
        json_array_append_new(groups, json_string(item->groups[i]));
    return json_pack("{s:s%,s:s,s:o,s:s,s:s}", "jid", jid.p, jid.len, "name", item->name, "groups", groups,
                     "subscription", subscriptions[item->subscription & MK_SUB_BOTH], "ask", ask_of(item->flags));
}

static void
on_list(enum mk_roster_result result, const struct mk_roster_item *items, size_t count, void *arg)
{
    struct mk_gql_user *user = arg;
    json_t *list;

    if (result != MK_ROSTER_OK) {
        mk_gql_user_fail(user, "internal", "The storage does not answer: try again");
        return;
    }
    list = json_array();
    for (size_t i = 0; i < count; i++)
        json_array_append_new(list, contact_object(&items[i]));
    mk_gql_answer(user->f, list);
    mk_gql_user_free(&user);
}

static void
list(struct mk_gql_user *user)
{
    const struct mk_roster *service = &((struct roster *)user->arg)->service;

    service->list(service->self, user->jid, on_list, user);
}

static const char *
user_argument(const struct mk_gql_field *f)
{
    return f->api->viewer(f)->who == MK_GQL_IS_USER ? NULL : "user";
}

static void
list_contacts(struct mk_gql_field *f, void *arg)
{
    struct roster *r = arg;

    mk_gql_user_find(f, &r->auth, user_argument(f), "user_not_exist", list, r);
}

static void
on_contact(enum mk_roster_result result, const struct mk_roster_item *item, void *arg)
{
    struct mk_gql_user *user = arg;

    if (result == MK_ROSTER_ABSENT) {
        mk_gql_user_fail(user, "contact_not_found", "Contact not found");
    } else if (result != MK_ROSTER_OK) {
        mk_gql_user_fail(user, "internal", "The storage does not answer: try again");
    } else {
        mk_gql_answer(user->f, contact_object(item));
        mk_gql_user_free(&user);
    }
}

static struct mk_jid *
bare_of(const char *text)
{
    struct mk_jid *jid = mk_jid_parse(mk_str_of(text)), *bare;

    MK_ASSERT(jid);             /* the scalar has checked it */
    bare = mk_jid_bare_new(jid);
    mk_jid_unref(&jid);
    return bare;
}

static void
get(struct mk_gql_user *user)
{
    const struct mk_roster *service = &((struct roster *)user->arg)->service;
    struct mk_jid *contact = bare_of(mk_gql_string(user->f, "contact"));

    service->item(service->self, user->jid, contact, on_contact, user);
    mk_jid_unref(&contact);
}

static void
get_contact(struct mk_gql_field *f, void *arg)
{
    struct roster *r = arg;

    mk_gql_user_find(f, &r->auth, user_argument(f), "user_not_exist", get, r);
}

/* -- changes: tasks of steps ------------------------------------------------------------------- */

enum step_kind {
    EXISTS,                     /* is `user` a user? */
    SET,                        /* `contact` into the roster of `user`, with its name and groups */
    DROP,                       /* out of it */
    SEND,                       /* presence from `user` to `contact` */
};

struct step {
    enum step_kind kind;
    const struct mk_jid *user, *contact;
    const char *name;
    const json_t *groups;
    enum mk_stanza_type type;
    bool may_be_absent;
};

#define STEPS_MAX 8

struct task {
    struct mk_jid *a, *b;       /* bare */
    struct step steps[STEPS_MAX];
    size_t count;
    char *done;                 /* what to say when all went well */
};

struct job {
    struct roster *roster;
    struct mk_gql_field *f;
    bool single;                /* the answer is that of the one task */
    struct task *tasks;
    size_t count, task, step;
    json_t *answers;
    mk_task_fn go_on;
};

static void
job_free(struct job *j)
{
    for (size_t i = 0; i < j->count; i++) {
        mk_jid_unref(&j->tasks[i].a);
        mk_jid_unref(&j->tasks[i].b);
        mk_free(j->tasks[i].done);
    }
    mk_free(j->tasks);
    json_decref(j->answers);
    mk_free(j);
}

static void
job_end(struct job *j)
{
    mk_gql_answer(j->f, json_incref(j->single ? json_array_get(j->answers, 0) : j->answers));
    job_free(j);
}

/* The task is over; `code` NULL: it went well. */
static void
task_end(struct job *j, const char *code, const char *message)
{
    const struct task *t = &j->tasks[j->task++];
    const struct mk_jid *about = t->steps[j->step < t->count ? j->step : 0].user;
    struct mk_str jid = mk_jid_text(about);

    json_array_append_new(j->answers, code ? j->f->api->error(code, message, json_pack("{s:s%}", "jid", jid.p, jid.len))
                                           : json_string(t->done));
    j->step = 0;
    j->go_on(j);
}

static void
on_exists(enum mk_auth_result result, const struct mk_auth *auth, void *arg)
{
    struct job *j = arg;

    if (auth) {
        j->step++;
        j->go_on(j);
    } else if (result == MK_AUTH_NO_ACCOUNT) {
        task_end(j, "user_not_exist", "Given user does not exist");
    } else {
        task_end(j, "internal", "The accounts cannot be read now: try again");
    }
}

static void
on_changed(enum mk_roster_result result, const struct mk_roster_item *item, void *arg)
{
    struct job *j = arg;
    const struct step *s = &j->tasks[j->task].steps[j->step];

    (void)item;
    if (result == MK_ROSTER_OK || (result == MK_ROSTER_ABSENT && s->may_be_absent)) {
        j->step++;
        j->go_on(j);
    } else if (result == MK_ROSTER_ABSENT) {
        task_end(j, "contact_not_found", "Contact not found");
    } else if (result == MK_ROSTER_FULL) {
        task_end(j, "roster_full", "The roster has as many contacts as it may have");
    } else if (result == MK_ROSTER_BAD) {
        task_end(j, "invalid_contact", "The name or a group is empty, too long or there twice");
    } else {
        task_end(j, "internal", "The storage does not answer: try again");
    }
}

/* MK_HANDLED: module presence has done it. */
static void
on_sent(struct mk_session *session, enum mk_verdict verdict, void *arg)
{
    struct job *j = arg;

    if (session)
        j->roster->c2s->vanish(session);
    if (verdict == MK_HANDLED) {
        j->step++;
        j->go_on(j);
    } else if (verdict == MK_CONTINUE) {
        task_end(j, "internal", "No module deals with subscriptions");
    } else {
        task_end(j, "internal", "The change cannot be stored now: try again");
    }
}

static void
run_set(struct job *j, const struct step *s)
{
    const struct mk_roster *service = &j->roster->service;
    const char **groups = mk_alloc((json_array_size(s->groups) + 1) * sizeof(char *));
    struct mk_roster_item item = {.size = sizeof(item), .jid = s->contact, .name = s->name ? s->name : "",
                                  .request = "", .groups = groups};
    const json_t *group;
    size_t i;

    json_array_foreach(s->groups, i, group)
        groups[item.group_count++] = json_string_value(group);
    service->set(service->self, s->user, &item, on_changed, j);
    mk_free(groups);
}

static void
run_send(struct job *j, const struct step *s)
{
    const struct mk_c2s *c2s = j->roster->c2s;
    struct mk_session *session = c2s->adopt(c2s->self, mk_host_find(mk_jid_domain(s->user)), s->user);
    struct mk_stanza *st = mk_stanza_new(MK_PRESENCE, s->type, s->user, s->contact, NULL, NULL);

    c2s->send_as(session, st, on_sent, j);
    mk_stanza_unref(&st);
}

static void
run_step(struct job *j, const struct step *s)
{
    struct roster *r = j->roster;
    struct mk_host *host = mk_host_find(mk_jid_domain(s->user));

    if (!host)
        task_end(j, "unknown_domain", "Given domain does not exist");
    else if (s->kind == EXISTS)
        mk_auth_find(r->module, &r->auth, host, mk_jid_local(s->user), on_exists, j);
    else if (s->kind == SET)
        run_set(j, s);
    else if (s->kind == DROP)
        r->service.remove(r->service.self, s->user, s->contact, on_changed, j);
    else
        run_send(j, s);
}

/* Deferred, so that thousands of tasks do not stand on each other's shoulders. */
static void
go_on(void *arg)
{
    struct job *j = arg;
    const struct task *t;

    if (j->task == j->count) {
        job_end(j);
        return;
    }
    t = &j->tasks[j->task];
    if (j->step < t->count)
        run_step(j, &t->steps[j->step]);
    else
        task_end(j, NULL, NULL);
}

static void
go_on_later(void *arg)
{
    struct job *j = arg;

    mk_defer(j->roster->module, go_on, j);
}

static struct job *
job_new(struct mk_gql_field *f, struct roster *r, size_t count)
{
    struct job *j = mk_zalloc(sizeof(*j));

    *j = (struct job){.roster = r, .f = f, .answers = json_array(), .go_on = go_on_later};
    j->tasks = mk_zalloc((count + 1) * sizeof(*j->tasks));
    return j;
}

/* A task between two accounts; both are taken. */
static struct task *
task_new(struct job *j, struct mk_jid *a, struct mk_jid *b)
{
    struct task *t = &j->tasks[j->count++];

    t->a = a;
    t->b = b;
    return t;
}

static void
add_step(struct task *t, const struct step *s)
{
    MK_ASSERT(t->count < STEPS_MAX);
    t->steps[t->count++] = *s;
}

static struct mk_jid *
own_jid(struct mk_gql_field *f)
{
    const char *text = user_argument(f) ? mk_gql_string(f, "user") : NULL;

    return text ? bare_of(text) : mk_jid_ref(f->api->viewer(f)->user);
}

/* -- fields that change one roster --------------------------------------------------------------- */

static void
plan_add(struct job *j, const char *contact, const char *name, const json_t *groups)
{
    struct task *t = task_new(j, own_jid(j->f), bare_of(contact));

    add_step(t, &(struct step){.kind = EXISTS, .user = t->a});
    add_step(t, &(struct step){.kind = SET, .user = t->a, .contact = t->b, .name = name, .groups = groups});
    t->done = mk_strdup("Contact added successfully");
}

static void
add_contact(struct mk_gql_field *f, void *arg)
{
    struct job *j = job_new(f, arg, 1);

    j->single = true;
    plan_add(j, mk_gql_string(f, "contact"), mk_gql_string(f, "name"), f->api->argument(f, "groups"));
    j->go_on(j);
}

/* NULL after an error. */
static struct job *
job_of_list(struct mk_gql_field *f, struct roster *r, size_t count)
{
    if (count <= TASKS_MAX)
        return job_new(f, r, count);
    mk_gql_fail(f, "too_many_items", "So many cannot be dealt with at once");
    return NULL;
}

static const char *
member(const json_t *object, const char *name)
{
    return json_string_value(json_object_get(object, name));
}

static void
add_contacts(struct mk_gql_field *f, void *arg)
{
    const json_t *contacts = f->api->argument(f, "contacts"), *c;
    struct job *j = job_of_list(f, arg, json_array_size(contacts));
    size_t i;

    if (!j)
        return;
    json_array_foreach(contacts, i, c)
        plan_add(j, member(c, "jid"), member(c, "name"), json_object_get(c, "groups"));
    j->go_on(j);
}

static void
plan_delete(struct job *j, const char *contact)
{
    struct task *t = task_new(j, own_jid(j->f), bare_of(contact));

    add_step(t, &(struct step){.kind = EXISTS, .user = t->a});
    add_step(t, &(struct step){.kind = DROP, .user = t->a, .contact = t->b});
    t->done = mk_strdup("Contact deleted successfully");
}

static void
delete_contact(struct mk_gql_field *f, void *arg)
{
    struct job *j = job_new(f, arg, 1);

    j->single = true;
    plan_delete(j, mk_gql_string(f, "contact"));
    j->go_on(j);
}

static void
delete_contacts(struct mk_gql_field *f, void *arg)
{
    const json_t *contacts = f->api->argument(f, "contacts"), *c;
    struct job *j = job_of_list(f, arg, json_array_size(contacts));
    size_t i;

    if (!j)
        return;
    json_array_foreach(contacts, i, c)
        plan_delete(j, json_string_value(c));
    j->go_on(j);
}

static void
subscription(struct mk_gql_field *f, void *arg)
{
    static const struct {
        const char *action, *name;
        enum mk_stanza_type type;
    } actions[] = {{"INVITE", "subscribe", MK_TYPE_SUBSCRIBE},
                   {"ACCEPT", "subscribed", MK_TYPE_SUBSCRIBED},
                   {"DECLINE", "unsubscribed", MK_TYPE_UNSUBSCRIBED},
                   {"CANCEL", "unsubscribe", MK_TYPE_UNSUBSCRIBE}};
    struct job *j = job_new(f, arg, 1);
    struct task *t = task_new(j, own_jid(f), bare_of(mk_gql_string(f, "contact")));

    j->single = true;
    add_step(t, &(struct step){.kind = EXISTS, .user = t->a});
    for (size_t i = 0; i < MK_COUNT(actions); i++) {
        if (strcmp(mk_gql_string(f, "action"), actions[i].action) != 0)
            continue;
        add_step(t, &(struct step){.kind = SEND, .user = t->a, .contact = t->b, .type = actions[i].type});
        t->done = mk_printf_new("Subscription stanza with type %s sent successfully", actions[i].name);
    }
    j->go_on(j);
}

/* -- fields that change two ----------------------------------------------------------------------- */

/*
 * Each approves before the other asks (RFC 6121 §3.4): so it does not matter how far a request is on its way, and nobody's client is
 * asked.
 */
static void
plan_connect(struct task *t)
{
    add_step(t, &(struct step){.kind = SEND, .user = t->b, .contact = t->a, .type = MK_TYPE_SUBSCRIBED});
    add_step(t, &(struct step){.kind = SEND, .user = t->a, .contact = t->b, .type = MK_TYPE_SUBSCRIBED});
    add_step(t, &(struct step){.kind = SEND, .user = t->a, .contact = t->b, .type = MK_TYPE_SUBSCRIBE});
    add_step(t, &(struct step){.kind = SEND, .user = t->b, .contact = t->a, .type = MK_TYPE_SUBSCRIBE});
}

static void
plan_both_exist(struct task *t)
{
    add_step(t, &(struct step){.kind = EXISTS, .user = t->a});
    add_step(t, &(struct step){.kind = EXISTS, .user = t->b});
}

static void
set_mutual(struct mk_gql_field *f, void *arg)
{
    struct job *j = job_new(f, arg, 1);
    struct task *t = task_new(j, bare_of(mk_gql_string(f, "userA")), bare_of(mk_gql_string(f, "userB")));

    j->single = true;
    plan_both_exist(t);
    if (strcmp(mk_gql_string(f, "action"), "CONNECT") == 0) {
        plan_connect(t);
        t->done = mk_strdup("Mutual subscription established");
    } else {
        add_step(t, &(struct step){.kind = DROP, .user = t->a, .contact = t->b, .may_be_absent = true});
        add_step(t, &(struct step){.kind = DROP, .user = t->b, .contact = t->a, .may_be_absent = true});
        t->done = mk_strdup("Mutual subscription removed");
    }
    j->go_on(j);
}

static void
plan_pair(struct job *j, const json_t *a, const json_t *b)
{
    struct task *t = task_new(j, bare_of(member(a, "jid")), bare_of(member(b, "jid")));

    plan_both_exist(t);
    add_step(t, &(struct step){.kind = SET, .user = t->a, .contact = t->b, .name = member(b, "name"),
                               .groups = json_object_get(b, "groups")});
    add_step(t, &(struct step){.kind = SET, .user = t->b, .contact = t->a, .name = member(a, "name"),
                               .groups = json_object_get(a, "groups")});
    plan_connect(t);
    t->done = mk_printf_new("Subscription between users %s and %s created successfully", mk_jid_text(t->a).p,
                            mk_jid_text(t->b).p);
}

static void
subscribe_to_all(struct mk_gql_field *f, void *arg)
{
    const json_t *contacts = f->api->argument(f, "contacts"), *c;
    struct job *j = job_of_list(f, arg, json_array_size(contacts));
    size_t i;

    if (!j)
        return;
    json_array_foreach(contacts, i, c)
        plan_pair(j, f->api->argument(f, "user"), c);
    j->go_on(j);
}

static void
subscribe_all_to_all(struct mk_gql_field *f, void *arg)
{
    const json_t *contacts = f->api->argument(f, "contacts");
    size_t count = json_array_size(contacts);
    struct job *j = job_of_list(f, arg, count < TASKS_MAX ? count * (count - (count > 0)) / 2 : count + 1);

    if (!j)
        return;
    for (size_t i = 0; i < count; i++) {
        for (size_t k = i + 1; k < count; k++)
            plan_pair(j, json_array_get(contacts, i), json_array_get(contacts, k));
    }
    j->go_on(j);
}

/* ------------------------------------------------------------------------------------------------- */

static const struct mk_gql_resolver admin_resolvers[] = {
    {"RosterAdminQuery", "listContacts", list_contacts},
    {"RosterAdminQuery", "getContact", get_contact},
    {"RosterAdminMutation", "addContact", add_contact},
    {"RosterAdminMutation", "addContacts", add_contacts},
    {"RosterAdminMutation", "subscription", subscription},
    {"RosterAdminMutation", "deleteContact", delete_contact},
    {"RosterAdminMutation", "deleteContacts", delete_contacts},
    {"RosterAdminMutation", "setMutualSubscription", set_mutual},
    {"RosterAdminMutation", "subscribeToAll", subscribe_to_all},
    {"RosterAdminMutation", "subscribeAllToAll", subscribe_all_to_all},
    {0}};

static const struct mk_gql_resolver user_resolvers[] = {
    {"RosterUserQuery", "listContacts", list_contacts},
    {"RosterUserQuery", "getContact", get_contact},
    {"RosterUserMutation", "addContact", add_contact},
    {"RosterUserMutation", "addContacts", add_contacts},
    {"RosterUserMutation", "subscription", subscription},
    {"RosterUserMutation", "deleteContact", delete_contact},
    {"RosterUserMutation", "deleteContacts", delete_contacts},
    {0}};

static const struct mk_gql_resolver no_resolvers[] = {{0}};

int
api_init(struct roster *r, struct mk_error *err)
{
    const struct mk_graphql *gql = mk_graphql_get(r->module);
    struct mk_module *m = r->module;

    if (!gql)
        return 0;
    r->c2s = mk_service_get(m, "c2s", MK_C2S_ABI, err);
    if (!r->c2s || gql->add(gql->self, m, MK_GQL_ADMIN | MK_GQL_USER, shared_sdl, no_resolvers, r, err) < 0 ||
        gql->add(gql->self, m, MK_GQL_ADMIN, admin_sdl, admin_resolvers, r, err) < 0)
        return -1;
    return gql->add(gql->self, m, MK_GQL_USER, user_sdl, user_resolvers, r, err);
}
