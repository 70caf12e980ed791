/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 the Meerkat authors */
/* Category domain of the GraphQL API. */
#include "config.h"

#include "internal.h"

static const char sdl[] =
    "extend type AdminQuery { \"Domains\" domain: DomainAdminQuery }\n"
    "extend type AdminMutation { \"Domains\" domain: DomainAdminMutation }\n"
    "enum DomainStatus { ENABLED DISABLED DELETING DELETED }\n"
    "\"STATIC: in the configuration; DYNAMIC: in the database\" enum DomainType { STATIC DYNAMIC }\n"
    "type Domain {\n"
    "  domain: DomainName\n"
    "  \"Of a static domain, its own name\" hostType: String\n"
    "  status: DomainStatus\n"
    "  type: DomainType\n"
    "}\n"
    "\"Domains\"\n"
    "type DomainAdminQuery @protected {\n"
    "  \"The enabled domains of a host type\" domainsByHostType(hostType: String!): [DomainName!] @protected(type: GLOBAL)\n"
    "  \"A domain\" domainDetails(domain: DomainName!): Domain @protected(type: DOMAIN, args: [\"domain\"])\n"
    "  \"All domains\" allDomains: [Domain!] @protected(type: GLOBAL)\n"
    "}\n"
    "\"Domains\"\n"
    "type DomainAdminMutation @protected {\n"
    "  \"Serve a domain from now on, on all nodes\"\n"
    "  addDomain(domain: DomainName!, hostType: String!): Domain @protected(type: GLOBAL)\n"
    "  \"Remove a domain with its accounts; answered when that is done\"\n"
    "  removeDomain(domain: DomainName!, hostType: String!): Domain @protected(type: GLOBAL)\n"
    "  \"The same; answered when the domain is not served any more, while its accounts are being removed\"\n"
    "  requestRemoveDomain(domain: DomainName!, hostType: String!): Domain @protected(type: GLOBAL)\n"
    "  \"Serve a domain again that was disabled\" enableDomain(domain: DomainName!): Domain @protected(type: GLOBAL)\n"
    "  \"Serve a domain no more, and keep all that is its\" disableDomain(domain: DomainName!): Domain @protected(type: GLOBAL)\n"
    "  \"Give the administrator of a domain, admin@DOMAIN, another password\"\n"
    "  setDomainPassword(domain: DomainName!, password: NonEmptyString!): String\n"
    "    @protected(type: DOMAIN, args: [\"domain\"])\n"
    "  \"Let a domain have no administrator\" deleteDomainPassword(domain: DomainName!): String @protected(type: GLOBAL)\n"
    "}\n";

static const struct mk_gql_resolver resolvers[] = {
    {"DomainAdminQuery", "domainsByHostType", settings_by_type},
    {"DomainAdminQuery", "domainDetails", settings_details},
    {"DomainAdminQuery", "allDomains", settings_all},
    {"DomainAdminMutation", "addDomain", settings_add},
    {"DomainAdminMutation", "removeDomain", settings_remove},
    {"DomainAdminMutation", "requestRemoveDomain", settings_request_remove},
    {"DomainAdminMutation", "enableDomain", settings_enable},
    {"DomainAdminMutation", "disableDomain", settings_disable},
    {"DomainAdminMutation", "setDomainPassword", admins_set_password},
    {"DomainAdminMutation", "deleteDomainPassword", admins_delete_password},
    {0}};

int
api_init(struct domain *self, struct mk_error *err)
{
    const struct mk_graphql *gql = mk_graphql_get(self->module);

    if (!gql)
        return 0;
    if (gql->add(gql->self, self->module, MK_GQL_ADMIN, sdl, resolvers, self, err) < 0)
        return -1;
    return gql->domain_admins(gql->self, self->module, admins_check, self, err);
}
