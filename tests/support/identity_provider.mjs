// A certified identity provider (oidc-provider) with one client, and users who are whoever they say.
//
// Arguments: the library's file, the port, and the address of the console. Loads nothing from elsewhere.
import { createServer } from 'node:http';

const [library, port, console_] = process.argv.slice(2);
const { Provider } = await import(library);
const issuer = `http://127.0.0.1:${port}`;
const groups = { anna: ['staff', 'mail-admins'], ben: ['staff'] };

const page = (title, body) =>
  `<!doctype html><html lang="en"><meta charset="utf-8"><title>${title}</title><h1>${title}</h1>${body}</html>`;

const provider = new Provider(issuer, {
  clients: [
    {
      client_id: 'mailhaul',
      client_secret: process.env.CLIENT_SECRET,
      redirect_uris: [`${console_}/login/oidc/callback`],
      post_logout_redirect_uris: [`${console_}/`],
      backchannel_logout_uri: `${console_}/logout/oidc`,
      backchannel_logout_session_required: true,
    },
  ],
  claims: { openid: ['sub'], profile: ['preferred_username'], groups: ['groups'] },
  cookies: { keys: ['a key of the tests'] },
  features: {
    devInteractions: { enabled: false },
    backchannelLogout: { enabled: true },
    rpInitiatedLogout: {
      enabled: true,
      logoutSource: (ctx, form) => {
        ctx.body = page('Log out?', `${form}<button form="op.logoutForm" name="logout" value="yes">Yes</button>`);
      },
      postLogoutSuccessSource: (ctx) => {
        ctx.body = page('Logged out', '');
      },
    },
  },
  // The console is on loopback, where the provider's own dispatcher sends nothing.
  fetch: (url, { dispatcher, ...options }) => fetch(url, options),
  findAccount: (ctx, id) => ({
    accountId: id,
    claims: () => ({ sub: id, preferred_username: id, groups: groups[id] ?? [] }),
  }),
  // Nobody is asked for consent.
  loadExistingGrant: async (ctx) => {
    const { client, session, provider: self } = ctx.oidc;
    const grant = new self.Grant({ clientId: client.clientId, accountId: session.accountId });
    grant.addOIDCScope('openid profile groups');
    await grant.save();
    return grant;
  },
});
provider.on('backchannel.error', (ctx, error) => console.error(error));

const answer = provider.callback();
createServer(async (request, response) => {
  if (!request.url.startsWith('/interaction/')) {
    answer(request, response);
    return;
  }
  let body = '';
  for await (const chunk of request) body += chunk;
  if (request.method === 'POST') {
    const accountId = new URLSearchParams(body).get('user');
    await provider.interactionFinished(request, response, { login: { accountId } });
    return;
  }
  response.setHeader('Content-Type', 'text/html');
  response.end(page('Who are you?', '<form method="post"><label>User <input name="user"></label><button>Go</button></form>'));
}).listen(Number(port), '127.0.0.1');
