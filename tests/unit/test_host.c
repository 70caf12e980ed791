/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* Virtual hosts of the configuration, and those that come and go. */
#include "unit.h"

#include <stdio.h>

#include <meerkat/admin.h>

#include "session-internal.h"

static int
set_up(void **state)
{
    char *names[] = {"example.org", "example.net"};
    const struct mk_option_list list = {2, names};

    (void)state;
    mki_hosts_set(&list);
    return 0;
}

static int
tear_down(void **state)
{
    (void)state;
    mki_hosts_free();
    return 0;
}

static void
count(struct mk_host *host, void *arg)
{
    (void)host;
    ++*(size_t *)arg;
}

static void
hosts_of_the_configuration_are_found_and_cannot_be_removed(void **state)
{
    struct mk_host *host = mk_host_find(MK_STR("example.org"));
    struct mk_error err;

    (void)state;
    assert_non_null(host);
    assert_string_equal(mk_host_name(host), "example.org");
    assert_true(mk_host_is_fixed(host));
    assert_ptr_equal(host, mk_host_nth(0));
    assert_null(mk_host_nth(2));
    assert_null(mk_host_find(MK_STR("example.orgs")));
    assert_int_equal(mk_host_remove("example.org", &err), -1);
    assert_string_equal(err.text, "domain 'example.org' is in the configuration");
}

static void
a_host_that_went_is_not_found_and_is_the_same_when_it_comes_back(void **state)
{
    struct mk_host *host = mk_host_add("new.example");
    struct mk_error err;
    size_t n = 0;

    (void)state;
    assert_ptr_equal(mk_host_find(MK_STR("new.example")), host);
    assert_ptr_equal(mk_host_add("new.example"), host);
    assert_false(mk_host_is_fixed(host));
    assert_null(mk_host_nth(2));
    mk_host_each(count, &n);
    assert_int_equal(n, 3);
    assert_int_equal(mk_host_remove("new.example", &err), 0);
    assert_null(mk_host_find(MK_STR("new.example")));
    assert_int_equal(mk_host_remove("new.example", &err), -1);
    assert_string_equal(mk_host_name(host), "new.example");
    assert_ptr_equal(mk_host_add("new.example"), host);
    assert_ptr_equal(mk_host_find(MK_STR("new.example")), host);
}

static void
thousands_of_hosts_are_all_found(void **state)
{
    char name[32];

    (void)state;
    for (int i = 0; i < 5000; i++) {
        snprintf(name, sizeof(name), "h%d.example", i);
        mk_host_add(name);
    }
    for (int i = 0; i < 5000; i++) {
        snprintf(name, sizeof(name), "h%d.example", i);
        assert_string_equal(mk_host_name(mk_host_find(mk_str_of(name))), name);
    }
    assert_null(mk_host_find(MK_STR("h5000.example")));
    assert_non_null(mk_host_find(MK_STR("example.net")));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(hosts_of_the_configuration_are_found_and_cannot_be_removed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_host_that_went_is_not_found_and_is_the_same_when_it_comes_back, set_up, tear_down),
        cmocka_unit_test_setup_teardown(thousands_of_hosts_are_all_found, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
